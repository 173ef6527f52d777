"""The documentation as a site: `docs/` made into pages, by `make docs`.

nav         which page stands where, and what is in it, in a sentence
markdown    what differs between a page on a forge and one on the site
conf        what Sphinx is told
__main__    builds it into `src/threadline/web/docs`
"""
