"""How gunicorn serves the app; ``gunicorn.conf.py`` puts it together."""
