"""The arena: an avatar and one or two coloured shapes in a box, with rigid-body physics.

The box is [0, 1] x [0, 1], y up. One unit of time is one frame, so velocities are in box units a step. Walls and
shapes are frictionless and elastic and nothing falls: a shape moves in a straight line until it hits something. The
avatar, heavier and softer, moves as it is told, stops at the walls, and pushes the shapes about.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from typing import Literal

import numpy as np
import pymunk

from threeworlds.types import ActionSpec
from threeworlds.worlds import draw as pictures
from threeworlds.worlds.base import Action, Law, Policy, Task, checked_option
from threeworlds.worlds.locate import body_weights, centroids, faint_weights, masses_of

COLOURS = ("red", "green", "blue", "yellow")
SHAPES = ("disc", "square", "triangle")
SIZES = ("small", "large")
HELD_OUT_SHAPES = (("yellow", "triangle"), ("blue", "square"))
HELD_OUT_SIZES = (("green", "small"),)
ACTION = ActionSpec(kind="discrete", size=5, names=("stay", "left", "right", "up", "down"))
POLICIES = ("chase", "goto", "circle", "push", "wander")

AVATAR_RADIUS = 6 / 64
AVATAR_SPEED = 5 / 64  # box units a step
SLOW, FAST, FASTEST = 0.02, 0.05, 0.08  # of shapes; a knock never makes one faster than FASTEST
FASTEST_SPIN = 0.5  # radians a step: slow enough to be seen as turning
AVATAR_BOUNCE = 0.5  # elasticity of a knock by the avatar; everything else is fully elastic
RADIUS = np.array([0.07, 0.115])  # of a small and a large disc; squares and triangles have the same area
SIDES = (0, 4, 3)  # of a disc, a square, a triangle
SUBSTEPS = 8  # physics steps a frame; with 4, a shape between avatar and wall sinks in by up to 3 pixels of 32
LAW = Law(smallest=math.pi * float(RADIUS[0]) ** 2, fastest=FASTEST, closed=True)
MOVES = np.array([(0, 0), (-1, 0), (1, 0), (0, 1), (0, -1)]) * AVATAR_SPEED

SHAPE_FIELDS = ("x", "y", "vx", "vy", "angle", "spin", "colour", "shape", "size", "present")
STATE_NAMES = (
    *("avatar_x", "avatar_y", "avatar_vx", "avatar_vy"),
    *(f"shape{i}_{field}" for i in range(2) for field in SHAPE_FIELDS),
)
BACKGROUND = np.array([18, 18, 26])
PALETTE = {
    "avatar": np.array([245, 245, 245]),
    "red": np.array([235, 50, 45]),
    "green": np.array([40, 205, 70]),
    "blue": np.array([60, 95, 250]),
    "yellow": np.array([245, 215, 30]),
}


# ------------------------------------------------------------------------------------------- geometry


def apothem(sides: int, radius: float) -> float:
    """Centre to side of the regular polygon with the area of a disc of ``radius``."""
    return radius * math.sqrt(math.pi / (sides * math.tan(math.pi / sides)))


def reach(shape: int, size: int) -> float:
    """Centre to the farthest point of a shape (indices into SHAPES and SIZES)."""
    sides, radius = SIDES[shape], float(RADIUS[size])
    return apothem(sides, radius) / math.cos(math.pi / sides) if sides else radius


def shape_columns(i: int) -> slice:
    """Columns of shape ``i`` in a state."""
    return slice(4 + i * len(SHAPE_FIELDS), 4 + (i + 1) * len(SHAPE_FIELDS))


def is_held_out(colour: int, shape: int, size: int) -> bool:
    """Whether a combination is kept for testing."""
    return (COLOURS[colour], SHAPES[shape]) in HELD_OUT_SHAPES or (COLOURS[colour], SIZES[size]) in HELD_OUT_SIZES


# ------------------------------------------------------------------------------------------ simulator


class Arena:
    """The law of the arena.

    Args:
        combinations: "train" has none of the held-out combinations of attributes, "heldout" at least one in every
            episode, "all" draws freely.
        shapes: numbers of shapes to choose from, each 1 or 2.
    """

    def __init__(
        self, *, combinations: Literal["train", "heldout", "all"] = "train", shapes: Iterable[int] = (1, 2)
    ) -> None:
        self.combinations = checked_option("combinations", combinations, ("train", "heldout", "all"))
        self.counts = tuple(checked_option("shapes", int(count), (1, 2)) for count in shapes)  # or text: "1", "12"
        if not self.counts:
            raise ValueError("shapes=(): at least one of 1, 2")

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """A first state: bodies apart from each other, shapes moving along an axis (slightly off it) or at rest."""
        looks = self._draw_looks(rng)
        centres = draw_centres(rng, [AVATAR_RADIUS] + [reach(shape, size) for _, shape, size in looks])
        state = np.full(len(STATE_NAMES), np.nan, np.float32)
        state[:4] = *centres[0], 0, 0
        for i in range(2):
            state[shape_columns(i)][-1] = i < len(looks)
        for i, look in enumerate(looks):
            state[shape_columns(i)] = *centres[i + 1], *draw_velocity(rng), rng.uniform(-np.pi, np.pi), 0, *look, 1
        return state

    def _draw_looks(self, rng: np.random.Generator) -> list[tuple[int, int, int]]:
        """Colour, shape and size of each shape; no colour twice."""
        while True:
            count = int(rng.choice(self.counts))
            colours = rng.permutation(len(COLOURS))[:count]
            looks = [(int(c), int(rng.integers(len(SHAPES))), int(rng.integers(len(SIZES)))) for c in colours]
            held_out = any(is_held_out(*look) for look in looks)
            if self.combinations == "all" or held_out == (self.combinations == "heldout"):
                return looks

    def load(self, state: np.ndarray) -> None:
        """Build the physics of ``state``. The avatar's velocity is of no consequence: the next action sets it."""
        self.space = new_space()
        self.avatar = add_avatar(self.space, state)
        self.last_state = state.copy()
        present = [i for i in range(2) if state[shape_columns(i)][-1] == 1]
        self.bodies = {i: add_shape(self.space, state[shape_columns(i)]) for i in present}

    def step(self, action: Action) -> np.ndarray:
        """One frame of physics under ``action``, an index into ACTION.names."""
        x, y = self.avatar.position
        self.avatar.velocity = inside(x + MOVES[action][0]) - x, inside(y + MOVES[action][1]) - y
        for _ in range(SUBSTEPS):
            self.space.step(1 / SUBSTEPS)
            for body in self.bodies.values():
                limit_speed(body)
        self.avatar.position = inside(self.avatar.position.x), inside(self.avatar.position.y)
        return self._read()

    def _read(self) -> np.ndarray:
        state = self.last_state.copy()
        x, y = self.avatar.position
        state[:4] = x, y, x - self.last_state[0], y - self.last_state[1]
        for i, body in self.bodies.items():
            start = shape_columns(i).start
            state[start : start + 6] = *body.position, *body.velocity, wrapped(body.angle), body.angular_velocity
        self.last_state = state
        return state.copy()

    def tags(self, state: np.ndarray) -> tuple[str, ...]:
        """("heldout",) if a shape of the episode has a held-out combination of attributes."""
        looks = [state[shape_columns(i)][6:9].astype(int) for i in range(2) if state[shape_columns(i)][-1] == 1]
        return ("heldout",) if any(is_held_out(*look) for look in looks) else ()


def draw_centres(rng: np.random.Generator, radii: list[float], gap: float = 0.02) -> np.ndarray:
    """Centres [n, 2] of bodies that touch neither each other nor the walls, by rejection."""
    radius = np.array(radii)
    apart = radius[:, None] + radius + gap
    while True:
        centre = rng.uniform(radius[:, None] + gap, 1 - radius[:, None] - gap, (len(radii), 2))
        distance = np.linalg.norm(centre[:, None] - centre, axis=-1)
        if np.all((distance > apart) | np.eye(len(radii), dtype=bool)):
            return centre


def draw_velocity(rng: np.random.Generator) -> tuple[float, float]:
    """At rest (one in seven), slow or fast; along an axis, about 3 degrees off."""
    speed = rng.choice([0.0, SLOW, FAST], p=[1 / 7, 3 / 7, 3 / 7])
    heading = rng.integers(4) * math.pi / 2 + rng.normal(0, 0.05)
    return speed * math.cos(heading), speed * math.sin(heading)


# -------------------------------------------------------------------------------------------- physics


def new_space() -> pymunk.Space:
    """An empty box without gravity. Walls are thick, so that nothing gets through."""
    space = pymunk.Space()
    space.collision_slop = 1e-4  # the engine's default, 0.1, is meant for worlds hundreds of units wide
    for start, stop in (((-1, -1), (-1, 2)), ((2, -1), (2, 2)), ((-1, -1), (2, -1)), ((-1, 2), (2, 2))):
        wall = pymunk.Segment(space.static_body, start, stop, radius=1)
        wall.elasticity = 1
        wall.filter = pymunk.ShapeFilter(categories=WALL)
        space.add(wall)
    return space


WALL = 0b10
AVATAR_FILTER = pymunk.ShapeFilter(mask=pymunk.ShapeFilter.ALL_MASKS() ^ WALL)


def add_avatar(space: pymunk.Space, state: np.ndarray) -> pymunk.Body:
    """A disc that does not turn, ten times as heavy as a large shape; `step` keeps it inside the walls."""
    body = pymunk.Body(mass=10.0, moment=math.inf)
    body.position = float(state[0]), float(state[1])
    outline = pymunk.Circle(body, AVATAR_RADIUS)
    outline.elasticity = AVATAR_BOUNCE
    outline.filter = AVATAR_FILTER
    space.add(body, outline)
    return body


def add_shape(space: pymunk.Space, columns: np.ndarray) -> pymunk.Body:
    """A shape of uniform density (a large one has mass 1) from its columns of the state."""
    x, y, vx, vy, angle, spin = map(float, columns[:6])
    shape, size = int(columns[7]), int(columns[8])
    radius = float(RADIUS[size])
    mass = (radius / float(RADIUS[-1])) ** 2
    corners = polygon_corners(SIDES[shape], radius)
    body = pymunk.Body(mass, pymunk.moment_for_poly(mass, corners) if corners else mass * radius**2 / 2)
    outline = pymunk.Poly(body, corners) if corners else pymunk.Circle(body, radius)
    body.position, body.velocity, body.angle, body.angular_velocity = (x, y), (vx, vy), angle, spin
    outline.elasticity = 1
    space.add(body, outline)
    return body


def polygon_corners(sides: int, radius: float) -> list[tuple[float, float]]:
    """Corners at angle 0, first side facing down; none for a disc."""
    if not sides:
        return []
    far = apothem(sides, radius) / math.cos(math.pi / sides)
    turns = [-math.pi / 2 + (k + 0.5) * 2 * math.pi / sides for k in range(sides)]
    return [(far * math.cos(turn), far * math.sin(turn)) for turn in turns]


def inside(coordinate: float) -> float:
    """Nearest coordinate at which the avatar is inside the walls."""
    return min(max(coordinate, AVATAR_RADIUS), 1 - AVATAR_RADIUS)


def limit_speed(body: pymunk.Body) -> None:
    """Slow a shape down to FASTEST, direction kept, and to FASTEST_SPIN."""
    vx, vy = body.velocity
    speed, spin = math.hypot(vx, vy), body.angular_velocity
    if speed > FASTEST:
        body.velocity = vx * FASTEST / speed, vy * FASTEST / speed
    if abs(spin) > FASTEST_SPIN:
        body.angular_velocity = math.copysign(FASTEST_SPIN, spin)


def wrapped(angle: float) -> float:
    """Angle in [-pi, pi)."""
    return (angle + math.pi) % (2 * math.pi) - math.pi


# -------------------------------------------------------------------------------------------- picture


def render(states: np.ndarray, size: int) -> np.ndarray:
    """Draw states float32 [t, s] as frames uint8 [t, size, size, 3], antialiased."""
    frames = pictures.blank(len(states), size, BACKGROUND)
    tints = np.stack([PALETTE[colour] for colour in COLOURS])
    for i in range(2):
        columns = states[:, shape_columns(i)]
        for kind in range(len(SHAPES)):
            rows = np.flatnonzero((columns[:, -1] == 1) & (columns[:, 7] == kind))
            if len(rows):
                some = columns[rows]
                canvas = frames[:, rows]
                pictures.paint(canvas, shape_coverage(some, kind, size), tints[some[:, 6].astype(int)])
                frames[:, rows] = canvas
    avatar = pictures.disc(states[:, :2], np.full(len(states), AVATAR_RADIUS, np.float32), size)
    pictures.paint(frames, avatar, PALETTE["avatar"])
    return pictures.to_bytes(frames)


def shape_coverage(columns: np.ndarray, kind: int, size: int) -> np.ndarray:
    """Coverage [t, h, w] of shapes of one kind, from their columns of the state [t, 10]."""
    radius = RADIUS[columns[:, 8].astype(int)].astype(np.float32)
    if not SIDES[kind]:
        return pictures.disc(columns[:, :2], radius, size)
    return pictures.regular_polygon(
        columns[:, :2], columns[:, 4], radius * np.float32(apothem(SIDES[kind], 1.0)), SIDES[kind], size
    )


def locate(frames: np.ndarray) -> dict[str, np.ndarray]:
    """Soft centroids of "avatar", "red", "green", "blue", "yellow" in frames uint8 [n, h, w, 3].

    Each [n, 2], box units, y up; NaN where the colour is absent.
    """
    centre = centroids(body_weights(frames, BACKGROUND, PALETTE))
    return {name: centre[:, k] for k, name in enumerate(PALETTE)}


def masses(frames: np.ndarray) -> dict[str, np.ndarray]:
    """Visible area, as a part of the frame, of the colours that `locate` knows: each [n]."""
    mass = masses_of(body_weights(frames, BACKGROUND, PALETTE))
    return {name: mass[:, k] for k, name in enumerate(PALETTE)}


def weights(frames: np.ndarray) -> dict[str, np.ndarray]:
    """Covered part of each pixel, [n, h, w], for the colours that `locate` knows; see `faint_weights`."""
    return dict(zip(PALETTE, faint_weights(frames, BACKGROUND, PALETTE).swapaxes(0, 1), strict=True))


def likeness(frames: np.ndarray) -> dict[str, np.ndarray]:
    """How alike each coloured body is to each of SHAPES, in frames uint8 [n, h, w, 3]: cosines, float [n, shapes].

    A body is compared with both sizes of a shape, turned in steps of 15 degrees, drawn at its centroid; the best
    counts. Faintness does not matter. NaN where the colour is absent.
    """
    names = [name for name in PALETTE if name != "avatar"]
    weights = body_weights(frames, BACKGROUND, PALETTE)[:, [list(PALETTE).index(name) for name in names]]
    centre = centroids(weights)
    found = np.full((len(frames), len(names), len(SHAPES)), np.nan)
    there = ~np.isnan(centre).any(-1)
    found[there] = _cosines(weights[there], centre[there].astype(np.float32))
    return {name: found[:, k] for k, name in enumerate(names)}


def _cosines(weights: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Best cosine between weights [m, h, w] and each shape drawn at ``centre`` [m, 2]: [m, shapes]."""
    best = np.zeros((len(centre), len(SHAPES)))
    length = np.linalg.norm(weights, axis=(1, 2))
    for kind, sides in enumerate(SIDES):
        turns = np.arange(0, 360 / sides, 15) if sides else [0]
        for size, turn in itertools.product(range(len(SIZES)), turns):
            columns = np.zeros((len(centre), len(SHAPE_FIELDS)), np.float32)
            columns[:, :2], columns[:, 4], columns[:, 8] = centre, np.radians(turn), size
            drawn = shape_coverage(columns, kind, weights.shape[-1])
            cosine = np.einsum("mhw,mhw->m", weights, drawn) / (length * np.linalg.norm(drawn, axis=(1, 2)))
            best[:, kind] = np.maximum(best[:, kind], cosine)
    return best


# ------------------------------------------------------------------------------------------- task


REACHES = np.array([[reach(shape, size) for size in range(len(SIZES))] for shape in range(len(SHAPES))])
AT_HAND = 0.05  # box units between avatar and shape, at most, when it is at hand


def at_hand(states: np.ndarray) -> np.ndarray:
    """1 where the avatar is at the first shape, states [..., s] -> [...]."""
    columns = states[..., shape_columns(0)]
    far = np.linalg.norm(columns[..., :2] - states[..., :2], axis=-1)
    near = AVATAR_RADIUS + REACHES[columns[..., 7].astype(int), columns[..., 8].astype(int)] + AT_HAND
    return (far < near).astype(float)


TASK = Task(
    policy="chase",
    reward=at_hand,
    told="the avatar must keep at a moving shape",
    options={"shapes": (1,)},
)

# ------------------------------------------------------------------------------------------- policies


Target = Callable[[np.ndarray], np.ndarray]  # state [s] -> where to be next [2]


def policy(name: str, rng: np.random.Generator) -> Policy:
    """A purposeful policy: it heads for a target, and sometimes holds an action for two to six steps.

    chase: a shape. goto: a point, where it waits, then another. circle: round the middle. push: a shape, from behind,
    towards a wall. wander: any direction. One decision in ten is a whim: stay, or go anywhere, for a while.
    """
    target = {"chase": chase, "goto": goto, "circle": circle, "push": push, "wander": wander}[
        checked_option("policy", name, POLICIES)
    ](rng)
    held: list[int] = []

    def act(state: np.ndarray) -> int:
        if not held:
            whim = rng.random() < 0.1
            action = int(rng.integers(5) * rng.integers(2)) if whim else heading(state[:2], target(state))
            hold = whim or name == "wander" or rng.random() < 0.3
            held.extend([action] * (int(rng.integers(2, 7)) if hold else 1))
        return held.pop()

    return act


def heading(here: np.ndarray, there: np.ndarray) -> int:
    """The action that brings the avatar nearer along the axis on which it is farther off; stay when there."""
    offset = there - here
    axis = int(np.argmax(np.abs(offset)))
    if abs(offset[axis]) < AVATAR_SPEED / 2:
        return 0
    return (1 if offset[axis] < 0 else 2) if axis == 0 else (3 if offset[axis] > 0 else 4)


def chosen_shape(rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    """One of the shapes, the same all the time: state [s] -> its columns [10]."""
    second = rng.random() < 0.5
    return lambda state: state[shape_columns(int(second and state[shape_columns(1)][-1] == 1))]


def chase(rng: np.random.Generator) -> Target:
    """Where a shape is."""
    shape = chosen_shape(rng)
    return lambda state: shape(state)[:2]


def goto(rng: np.random.Generator) -> Target:
    """A point; after a wait there, another."""
    goal, wait = rng.uniform(AVATAR_RADIUS, 1 - AVATAR_RADIUS, 2), int(rng.integers(4, 13))

    def target(state: np.ndarray) -> np.ndarray:
        nonlocal goal, wait
        wait -= heading(state[:2], goal) == 0
        if wait < 0:
            goal, wait = rng.uniform(AVATAR_RADIUS, 1 - AVATAR_RADIUS, 2), int(rng.integers(4, 13))
        return goal

    return target


def circle(rng: np.random.Generator) -> Target:
    """A point a quarter turn ahead on a circle round the middle of the box."""
    radius, sense = rng.uniform(0.2, 0.35), rng.choice([-1, 1])

    def target(state: np.ndarray) -> np.ndarray:
        x, y = state[:2] - 0.5
        ahead = math.atan2(y, x) + sense * math.pi / 4
        return 0.5 + radius * np.array([math.cos(ahead), math.sin(ahead)])

    return target


def push(rng: np.random.Generator) -> Target:
    """First behind a shape, seen from a wall; then the shape itself."""
    shape = chosen_shape(rng)
    towards = np.array([(-1, 0), (1, 0), (0, 1), (0, -1)])[rng.integers(4)]

    def target(state: np.ndarray) -> np.ndarray:
        centre = shape(state)[:2]
        behind = (centre - state[:2]) @ towards
        aside = np.abs((centre - state[:2]) @ towards[::-1])
        return centre if behind > 0 and aside < AVATAR_SPEED else centre - 0.25 * towards

    return target


def wander(rng: np.random.Generator) -> Target:
    """Anywhere, near or far."""
    return lambda state: state[:2] + rng.normal(0, 0.2, 2)
