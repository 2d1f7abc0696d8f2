"""What reaches Lakebase: workspace, credentials, rotation, pool, and who borrows a connection."""
