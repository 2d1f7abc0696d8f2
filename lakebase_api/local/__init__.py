"""For trying the product on one machine: PostgreSQL, TPC-H orders, gunicorn. Nothing else imports this."""
