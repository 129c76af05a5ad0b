"""The page: a document as one HTML file that works without a network.

Takes documents, not runs or stores. Style, script and plots are inside the file; its content
security policy forbids everything else.
"""

from producer.report.page.render import render_page

__all__ = ["render_page"]
