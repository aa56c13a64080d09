"""Shows promises.py finding an unsafe item that the page lacks, and a row that fits nothing: small pages and texts made for the purpose."""

import pathlib
import tempfile
import unittest

import promises

API = {
    "one": """mod one
unsafe fn one::kernel::call(at: *const u8)
#[must_use] const unsafe fn one::Entry::new(handler: one::Handler) -> Self
unsafe fn one::Other::new<T: Copy>(value: T) -> Self
type one::Handler = unsafe extern "C" fn()
unsafe trait one::pod::Plain: Copy
fn one::safe(unsafe_looking: u32)
""",
    "mach-sys": "unsafe fn mach_sys::kernel::mach_msg()\n",
    "mach-emulated": "unsafe fn mach_emulated::calls::mach_msg()\nunsafe fn mach_emulated::calls::own()\n",
}
PAGE = """# Promises
| `no::heading` | above | any |
## one
| item | promise | relies |
|---|---|---|
| `kernel::call`, `Entry::new` | valid for `len` bytes | copies |
| `Other::new` | p | r |
| `Plain` | p | r |
## mach-sys
| `kernel::mach_msg` | p | r |
## mach-emulated
| `calls::own` | p | r |
"""


class Promises(unittest.TestCase):
    def found(self, page, api=None):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            for crate, text in (api or API).items():
                (folder / f"{crate}.txt").write_text(text)
            (folder / "page.md").write_text(page)
            return list(promises.differences(promises.unsafe_items(folder), promises.named_items(folder / "page.md")))

    def test_a_whole_page_passes(self):
        self.assertEqual(self.found(PAGE), [])

    def test_an_item_that_is_not_named_is_found(self):
        self.assertEqual(self.found(PAGE.replace("`kernel::call`, ", "")), ["one: one::kernel::call is unsafe and not named"])
        self.assertEqual(self.found(PAGE.replace("| `Plain` | p | r |\n", "")), ["one: one::pod::Plain is unsafe and not named"])

    def test_a_name_under_another_crates_heading_does_not_count(self):
        page = PAGE.replace("| `calls::own` | p | r |\n", "").replace("| `Plain`", "| `calls::own` | p | r |\n| `Plain`")
        self.assertEqual(len(self.found(page)), 2)

    def test_an_item_that_is_gone_or_safe_is_found(self):
        for gone in ["gone", "safe", "Handler"]:
            self.assertEqual(self.found(PAGE.replace("`Plain`", f"`Plain`, `{gone}`")), [f"one: `{gone}` is no public unsafe item"])

    def test_a_name_that_fits_two_items_is_found(self):
        found = self.found(PAGE.replace("`Entry::new`", "`new`"))
        self.assertIn("one: `new` fits one::Entry::new, one::Other::new: name more of the path", found)

    def test_a_call_that_the_seam_does_not_declare_needs_a_row(self):
        found = self.found(PAGE.replace("| `calls::own` | p | r |\n", ""))
        self.assertEqual(found, ["mach-emulated: mach_emulated::calls::own is unsafe and not named"])

    def test_a_row_without_its_promise_is_refused(self):
        for row in ["| `Plain` | p |  |", "| `Plain` | p |"]:
            with self.assertRaises(SystemExit):
                self.found(PAGE.replace("| `Plain` | p | r |", row))

    def test_texts_without_an_unsafe_item_are_refused(self):
        with self.assertRaises(SystemExit):
            self.found(PAGE, {"one": "fn one::safe()\n"})


if __name__ == "__main__":
    unittest.main()
