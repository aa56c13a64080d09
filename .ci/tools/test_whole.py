"""Tests whole.py on what objdump prints."""

import unittest

import whole

WHOLE = """
0000000100000000 <_twice>:
0000000100000000 <twice>:
100000000:      \tcbz\tx1, 0x10000000c <twice+0xc>
100000004:      \tldr\tx0, [x0]
100000008:      \tret
10000000c:      \tudf\t#0x0
"""

CUT = """
0000000100000010 <_first>:
0000000100000010 <first>:
100000010:      \tstp\tx29, x30, [sp, #-0x10]!
100000014:      \tldr\tx0, [x0]
\t\t...
0000000100000020 <_second>:
100000020:      \tb\t0x100000014 <first+0x4>
"""


class Whole(unittest.TestCase):
    def test_two_names_of_an_address_are_one_routine(self):
        self.assertEqual([name for name, _ in whole.routines(WHOLE)], ["twice"])

    def test_a_routine_that_returns_is_whole_and_alignment_behind_it_is_no_part_of_it(self):
        self.assertEqual(list(whole.cut(dict(whole.routines(WHOLE)))), [])

    def test_a_routine_that_returns_by_iretq_is_whole(self):
        self.assertEqual(list(whole.cut({"trap": [("mov", ""), ("iretq", "")]})), [])

    def test_a_routine_that_falls_through_was_cut(self):
        faults = list(whole.cut(dict(whole.routines(CUT))))
        self.assertEqual(faults, ["first ends in `ldr x0, [x0]`: the linker cut it"])

    def test_hand_written_routines_have_both_spellings(self):
        self.assertEqual(whole.hand_written({"_main", "_examples_load", "examples_load"}), ["examples_load"])


if __name__ == "__main__":
    unittest.main(argv=["test_whole.py", "--quiet"])
