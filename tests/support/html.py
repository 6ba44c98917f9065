"""What a built page holds: targets, links, and what a browser loads with it."""

from html.parser import HTMLParser

LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "link": "href"}
"""Attributes that name a file that the page needs; `link` has others too, see `Page`."""
NEEDED = {"stylesheet", "icon", "preload", "modulepreload", "manifest", "shortcut icon"}


class Page(HTMLParser):
    """Ids, links, loaded files and mathematics of a page, read by `feed`."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.loaded, self.maths, self.words = set(), [], [], 0, []
        self._code = 0
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids |= {found[name] for name in ("id", "name") if found.get(name)}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if LOADED.get(tag) in found and (tag != "link" or found.get("rel") in NEEDED):
            self.loaded.append(found[LOADED[tag]])
        self.maths += "math" in (found.get("class") or "").split()
        self._code += tag in ("code", "pre", "script", "style")

    def handle_endtag(self, tag):
        self._code -= tag in ("code", "pre", "script", "style")

    def handle_data(self, data):
        if not self._code:
            self.words.append(data)
