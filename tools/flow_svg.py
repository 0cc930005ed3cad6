"""docs/flow.svg: the way of a list from Consul to Kamailio's memory. Prints it; `./dev docs` writes it."""

from collections.abc import Iterator
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 940, 330
OUTSIDE, OURS = "#e8eef7", "#e3f3e6"
STYLE = "font-family='system-ui, sans-serif' font-size='14' text-anchor='middle' fill='#1b1f24'"

# x, y, width, height, colour, lines of text (the first is bold)
BOXES = (
    (20, 30, 120, 60, OUTSIDE, ("Consul", "services, KV")),
    (190, 30, 140, 60, OUTSIDE, ("consul-template", "renders")),
    (380, 30, 140, 60, OUTSIDE, ("staging file", "JSON Lines")),
    (20, 150, 140, 60, OURS, ("parse, validate", "bad records drop")),
    (190, 150, 140, 60, OURS, ("guard", "holds removals")),
    (360, 150, 140, 60, OURS, ("write", "states ride along")),
    (530, 150, 140, 60, OURS, ("reload", "one, when allowed")),
    (700, 150, 140, 60, OURS, ("read back", "list and compare")),
    (360, 255, 140, 50, OUTSIDE, ("live file", "")),
    (590, 255, 170, 50, OUTSIDE, ("Kamailio's memory", "")),
    (700, 30, 140, 60, OURS, ("publish", "last known good")),
)
# points, text, where the text stands
ARROWS: tuple[tuple[str, str, tuple[int, int]], ...] = (
    ("140,60 190,60", "", (0, 0)),
    ("330,60 380,60", "", (0, 0)),
    ("450,90 450,120 90,120 90,150", "inotify or kam-apply", (270, 114)),
    ("160,180 190,180", "", (0, 0)),
    ("330,180 360,180", "", (0, 0)),
    ("500,180 530,180", "", (0, 0)),
    ("670,180 700,180", "", (0, 0)),
    ("430,210 430,255", "", (0, 0)),
    ("500,280 590,280", "loads", (543, 274)),
    ("600,210 600,232 650,232 650,255", "", (0, 0)),
    ("735,255 735,232 770,232 770,210", "", (0, 0)),
    ("770,150 770,90", "equal", (795, 125)),
    ("840,180 895,180 895,315 430,315 430,305", "differs: once more, then the last known good", (660, 328)),
)


def svg() -> str:
    """The whole picture."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT + 10}' width='{WIDTH}' {STYLE}>"
    yield "<title>Consul, consul-template, staging, consul_kam, live file, Kamailio's memory, and back</title>"
    yield "<defs><marker id='a' viewBox='0 0 8 8' refX='8' refY='4' markerWidth='8' markerHeight='8' orient='auto'>"
    yield "<path d='M0,0 L8,4 L0,8 z' fill='#57606a'/></marker></defs>"
    yield "<rect width='100%' height='100%' fill='#ffffff'/>"
    yield "<rect x='8' y='138' width='846' height='84' rx='10' fill='none' stroke='#2da44e' stroke-dasharray='5 4'/>"
    yield "<text x='20' y='240' text-anchor='start' fill='#2da44e'>consul_kam</text>"
    for x, y, width, height, colour, (title, note) in BOXES:
        yield f"<rect x='{x}' y='{y}' width='{width}' height='{height}' rx='6' fill='{colour}' stroke='#57606a'/>"
        middle = y + height // 2 + (5 if not note else -3)
        yield f"<text x='{x + width // 2}' y='{middle}' font-weight='600'>{escape(title)}</text>"
        if note:
            yield f"<text x='{x + width // 2}' y='{middle + 19}' font-size='12'>{escape(note)}</text>"
    for points, text, (x, y) in ARROWS:
        yield f"<polyline points='{points}' fill='none' stroke='#57606a' stroke-width='1.5' marker-end='url(#a)'/>"
        if text:
            yield f"<text x='{x}' y='{y}' font-size='12'>{escape(text)}</text>"
    yield "</svg>"


if __name__ == "__main__":
    print(svg(), end="")
