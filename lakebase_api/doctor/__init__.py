"""Whether everything that the service needs is there, and the SQL or setting that mends what is not."""
