"""Shows the traces of a stack's Tempo in a browser: `python -m tools view`.

The page is Lens, the UI of Zipkin, as its project built it. `site.py` answers its requests from Tempo's API.
"""
