"""The picture that a page calls its own."""

import pytest

from pinflow.scraping.pages.own_picture import own_picture

URL = "https://example.com/shop/item"


@pytest.mark.parametrize(
    ("html", "found"),
    [
        (
            '<meta property="og:image" content="https://i.pinimg.com/736x/a.jpg">',
            "https://i.pinimg.com/736x/a.jpg",
        ),
        ('<meta name="og:image" content="/a.jpg">', "https://example.com/a.jpg"),
        (
            '<meta property="og:image" content="http://a/1.jpg">'
            '<meta property="og:image:secure_url" content="https://a/1.jpg">',
            "https://a/1.jpg",
        ),
        ('<meta name="twitter:image" content="a.jpg">', "https://example.com/shop/a.jpg"),
        ('<link rel="image_src" href="//b/c.jpg">', "https://b/c.jpg"),
        (
            '<meta property="og:image" content=" "><body><img src="only.jpg">',
            "https://example.com/shop/only.jpg",
        ),
        ("<body><p><img src='only.jpg'>", "https://example.com/shop/only.jpg"),
        ("<body><img src='a.jpg'><img src='b.jpg'>", None),
        ("<body>words", None),
        ('<meta property="og:image" content="data:image/png;base64,AAAA">', None),
        ('<meta property="og:image" content="javascript:alert(1)">', None),
        ('<meta property="og:image" content="http://[">', None),
        ("", None),
        ("\0\0<", None),
    ],
)
def test_own_picture(html, found):
    assert own_picture(html.encode(), URL) == found
