"""RDE-R's rules word for word, one rectangle and one pixel at a time: slow, and sharing no code with data/."""

import numpy as np

NEXT = ((0, 1), (1, 0), (0, -1), (-1, 0))


def paint(boxes, side):
    """Paint boxes (top, bottom, left, right) in order; 0 is the background."""
    index = [[0] * side for _ in range(side)]
    for number, (top, bottom, left, right) in enumerate(boxes, start=1):
        for y in range(top, bottom):
            index[y][left:right] = [number] * (right - left)
    return index


def neighbours(index):
    """Return the pairs of different labels seen side by side."""
    side = len(index)
    return {
        (index[y][x], index[y + dy][x + dx])
        for y in range(side)
        for x in range(side)
        for dy, dx in NEXT
        if 0 <= y + dy < side and 0 <= x + dx < side and index[y][x] != index[y + dy][x + dx]
    }


def overlap(one, two):
    (top, bottom, left, right), (top_, bottom_, left_, right_) = one, two
    return top < bottom_ and top_ < bottom and left < right_ and left_ < right


def levels(boxes, index):
    """Return the level of each box: 1 + the highest directly below, where the later-painted of two that touch and
    overlap is above.
    """
    touching, found = neighbours(index), [0]
    for number, box in enumerate(boxes, start=1):
        below = [v for v in range(1, number) if (number, v) in touching and overlap(box, boxes[v - 1])]
        found.append(1 + max((found[v] for v in below), default=0))
    return found


def generic(boxes):
    """Tell whether no two near boxes have edges on one line."""
    for i, one in enumerate(boxes):
        for two in boxes[:i]:
            grown = [(top - 1, bottom + 1, left - 1, right + 1) for top, bottom, left, right in (one, two)]
            lines = set(one[:2]) & set(two[:2]) or set(one[2:]) & set(two[2:])
            if overlap(*grown) and lines:
                return False
    return True


def shows_corners(boxes, index):
    for number, (top, bottom, left, right) in enumerate(boxes, start=1):
        if number not in (index[y][x] for y in (top, bottom - 1) for x in (left, right - 1)):
            return False
    return True


def pieces(index, number):
    """Count the 4-connected pieces of what is seen of a rectangle."""
    left = {(int(y), int(x)) for y, x in np.argwhere(np.asarray(index) == number)}
    count = 0
    while left:
        front, count = [left.pop()], count + 1
        while front:
            y, x = front.pop()
            for dy, dx in NEXT:
                if (y + dy, x + dx) in left:
                    left.remove((y + dy, x + dx))
                    front.append((y + dy, x + dx))
    return count
