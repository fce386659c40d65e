"""In which order hubs are torn down."""

import unittest

from leakguard.order import in_waves


def make(names, **held):
    """Hubs of classes ``A``, ``B``, ... by the letters of `names`; ``held={"x1": [0]}`` is given by position."""
    kinds = {name: type(name, (), {}) for name in set(names)}
    hubs = [kinds[name]() for name in names]
    for name, others in held.items():
        hubs[int(name[1:])].held = [hubs[other] for other in others]
    return hubs


class WaveTests(unittest.TestCase):
    def test_waves(self):
        """A hub waits for those between it and the next of its class; a wave begins with the last registered."""
        for names, waves in (
            ("", []),
            ("A", [[0]]),
            ("AAA", [[2, 1, 0]]),
            ("AB", [[1], [0]]),
            ("ABC", [[2], [1], [0]]),
            ("SCSC", [[3, 1], [2, 0]]),
            ("SCCS", [[3, 2, 1], [0]]),
            ("ABBA", [[3, 2, 1], [0]]),
            ("ABCBC", [[4, 2], [3, 1], [0]]),
            ("DSCSC", [[4, 2], [3, 1], [0]]),
        ):
            with self.subTest(names):
                self.assertEqual(in_waves(make(names)), waves)

    def test_what_is_held_as_an_attribute(self):
        """Wherever it was registered, the earlier of the two waits for the later."""
        self.assertEqual(in_waves(make("AA", x1=[0])), [[1], [0]])
        self.assertEqual(in_waves(make("AA", x0=[1])), [[1], [0]])
        self.assertEqual(in_waves(make("SCSC", x3=[0])), [[3, 1], [2, 0]])
        self.assertEqual(in_waves(make("SCSC", x2=[1])), [[3], [2], [1], [0]])

    def test_a_hundred_of_few_classes(self):
        """They take as many waves as there are classes, whatever their order."""
        names = "".join("ABCD"[(7 * number * number + number // 3) % 4] for number in range(100))
        self.assertLessEqual(len(in_waves(make(names))), 4)
