"""The page: a document as one HTML file that needs nothing else, not even a network.

Knows documents, not runs or stores. Style, script and plots lie inside the file; its content
security policy forbids everything that does not.
"""

from producer.report.page.render import render_page

__all__ = ["render_page"]
