"""The text of an interface has what it promises, and api.py refuses what it does not know.

RUSTDOC names a rustdoc that takes unstable options.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

SOURCE = """
mod inner {
    #[non_exhaustive] #[must_use] #[derive(Clone, Debug)]
    pub struct Open<'a, T: Clone = u8> { pub shown: &'a [T], hidden: u32 }
    pub struct Opaque(*mut u8);
    #[repr(C, packed(4))] pub struct Wire { pub size: u32, pub body: [u8; 4] }
    #[repr(u8)] #[non_exhaustive] pub enum Kind { One = 1, Two(u8, Option<String>), Three { at: usize } }
    pub trait Sealed: crate::seal::Seal + 'static { const N: u32 = 7; type Out: Send; fn get(&self) -> Self::Out; fn more(self) where Self: Sized {} }
    impl crate::seal::Seal for u32 {}
    impl Sealed for u32 { type Out = (); fn get(&self) {} }
    impl<'a, T: Clone> Open<'a, T> {
        pub const MOST: usize = 0x10;
        pub fn each(&self, f: fn(&T) -> bool) -> impl Iterator<Item = &'a T> + use<'a, T> { let _ = f; self.shown.iter() }
        #[doc(hidden)] pub fn unseen(&self) {}
        fn private(&mut self) {}
    }
    impl Open<'_, u8> { pub fn bytes(&mut self) {} }
    impl From<u8> for Kind { fn from(_: u8) -> Self { Kind::One } }
}
mod seal { pub trait Seal {} }
pub use inner::{Open, Opaque, Wire, Sealed, Kind};
pub mod again { pub use crate::inner::*; pub type Result<T> = std::result::Result<T, std::io::Error>; }
pub unsafe extern "C" fn raw(f: Option<unsafe extern "C" fn(i32) -> !>) { let _ = f; loop {} }
pub const fn id<const N: usize>(x: [u8; N]) -> [u8; N] { x }
pub static LIMIT: u64 = 3;
#[doc(hidden)] pub mod hidden { pub fn unseen() {} }
"""

def document(source, folder):
    file = folder / "sample.rs"
    file.write_text(source)
    command = [os.environ["RUSTDOC"], "--edition=2024", "--crate-name=sample", "--cap-lints=allow", "-Zunstable-options"]
    subprocess.run([*command, "--output-format=json", f"--out-dir={folder}", str(file)], check=True)
    return folder / "sample.json"


def api(*arguments):
    program = pathlib.Path(__file__).with_name("api.py")
    return subprocess.run([sys.executable, program, *map(str, arguments)], capture_output=True, text=True)


class Text(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.scratch.name)
        cls.json = document(SOURCE, cls.folder)
        cls.text = cls.folder / "sample.txt"
        written = api("--write", cls.json, cls.text)
        assert written.returncode == 0, written.stderr
        cls.lines = cls.text.read_text().splitlines()

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def test_each_kind_of_item_has_its_line(self):
        for line in [
            "mod sample",
            "#[must_use] #[non_exhaustive] struct sample::Open<'a, T: Clone = u8> { private fields }",
            "field sample::Open.shown: &'a [T]",
            "const sample::Open::MOST: usize = 0x10 [impl<'a, T: Clone> sample::Open<'a, T>]",
            "fn sample::Open::each(&self, f: fn(&T) -> bool) -> impl Iterator<Item = &'a T> + use<'a, T> "
            "[impl<'a, T: Clone> sample::Open<'a, T>]",
            "fn sample::Open::bytes(&mut self) [impl sample::Open<'_, u8>]",
            "struct sample::Opaque { private fields }",
            "impl !Send + !Sync for sample::Opaque",
            "#[repr(C, packed(4))] struct sample::Wire",
            "#[non_exhaustive] #[repr(u8)] enum sample::Kind",
            "variant sample::Kind::One = 1",
            "variant sample::Kind::Two(u8, Option<String>)",
            "variant sample::Kind::Three { at: usize }",
            "impl From<u8> for sample::Kind",
            "trait sample::Sealed: private Seal + 'static (not dyn compatible)",
            "const sample::Sealed::N: u32 = 7 { provided }",
            "type sample::Sealed::Out: Send",
            "fn sample::Sealed::get(&self) -> Self::Out",
            "fn sample::Sealed::more(self) where Self: Sized { provided }",
            "impl sample::Sealed for u32",
            "type <u32 as sample::Sealed>::Out = ()",
            "use sample::again::Open = sample::Open",
            "type sample::again::Result<T> = Result<T, io::Error>",
            'unsafe extern "C" fn sample::raw(f: Option<unsafe extern "C" fn(i32) -> !>)',
            "const fn sample::id<const N: usize>(x: [u8; N]) -> [u8; N]",
            "static sample::LIMIT: u64",
        ]:
            with self.subTest(line):
                self.assertIn(line, self.lines)

    def test_what_is_private_or_hidden_has_none(self):
        for word in ["unseen", "hidden", "inner", "private("]:
            with self.subTest(word):
                self.assertEqual([line for line in self.lines if word in line], [])

    def test_a_change_is_seen_and_an_equal_interface_passes(self):
        self.assertEqual(api(self.json, self.text).returncode, 0)
        self.text.write_text(self.text.read_text().replace("fn sample::id", "fn sample::ident"))
        changed = api(self.json, self.text)
        self.assertEqual(changed.returncode, 1)
        self.assertIn("+const fn sample::id<", changed.stdout)
        self.assertIn("--write", changed.stderr)
        api("--write", self.json, self.text)

    def test_a_private_file_that_moves_changes_nothing(self):
        moved = self.folder / "moved"
        moved.mkdir(exist_ok=True)
        other = document(SOURCE.replace("inner", "elsewhere"), moved)
        result = api(other, self.text)
        self.assertEqual((result.returncode, result.stderr), (0, ""))

    def test_another_format_is_refused_with_what_to_do(self):
        newer = self.folder / "newer.json"
        content = json.loads(self.json.read_text())
        newer.write_text(json.dumps({**content, "format_version": 9999}))
        refused = api(newer, self.text)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("format 9999", refused.stderr)
        self.assertIn("RUSTUP_TOOLCHAIN=", refused.stderr)

    def test_an_unknown_construct_is_refused(self):
        odd = self.folder / "odd.json"
        odd.write_text(self.json.read_text().replace('"borrowed_ref"', '"leased_ref"'))
        refused = api(odd, self.text)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("leased_ref", refused.stderr)


if __name__ == "__main__":
    unittest.main()
