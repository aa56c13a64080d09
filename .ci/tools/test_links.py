"""Shows links.py finding links that lead nowhere: small pages made for the purpose."""

import pathlib
import tempfile
import unittest

import links

OTHER = """# One `thing`: and more
## Twice
## Twice
```
## Not a heading
```
<a id="made"></a>
"""


class Links(unittest.TestCase):
    def found(self, text, page="page.md"):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "deep").mkdir()
            (folder / "crate" / "src").mkdir(parents=True)
            (folder / "deep" / "other.md").write_text(OTHER)
            (folder / "picture.svg").write_text("<svg/>")
            page = folder / page
            page.write_text(text)
            return [line.split(": ", 1)[1] for line in links.broken([page])]

    def test_links_that_lead_somewhere_pass(self):
        good = [
            "# Own\n[a](deep/other.md) [b](deep) [c](#own)",
            "[a](deep/other.md#one-thing-and-more) [b](deep/other.md#twice-1) [c](deep/other.md#made)",
            '[![shield](picture.svg)](https://example.org/x#y) <img src="picture.svg" alt="a">',
            "`[a](gone.md)`\n```\n[b](gone.md)\n```\n[c](mailto:a@b)",
        ]
        for text in good:
            self.assertEqual(self.found(text), [], text)

    def test_a_file_that_is_not_there_is_found(self):
        for text in ["[a](gone.md)", '<img src="gone.svg">', "[![s](gone.svg)](https://example.org)", "[a\nb](deep/gone.md)"]:
            self.assertEqual(len(self.found(text)), 1, text)

    def test_an_anchor_that_is_not_there_is_found(self):
        for anchor in ["deep/other.md#twice-2", "deep/other.md#not-a-heading", "#own"]:
            self.assertEqual(len(self.found(f"[a]({anchor})")), 1, anchor)

    def test_an_item_is_rustdocs_in_a_librarys_readme_only(self):
        self.assertEqual(self.found("[a](kernel::KERNEL)", "crate/README.md"), [])
        self.assertEqual(len(self.found("[a](kernel::KERNEL)")), 1)


if __name__ == "__main__":
    unittest.main()
