"""The words that the embedded CLIP is taught, by what they mean in the starter world."""

from __future__ import annotations

# Singular forms; ``captions`` makes plurals. The first of each list is the name itself.
OBJECT_WORDS: dict[str, tuple[str, ...]] = {
    "sailboat": ("sailboat", "boat", "sailing boat", "ship", "sailing ship", "yacht", "pirate ship", "sail boat"),
    "house": ("house", "cottage", "home", "hut", "haunted house", "building", "farm house", "little house"),
    "tree": ("tree", "oak", "oak tree", "dead tree", "old tree", "apple tree"),
    "balloon": ("balloon", "hot-air balloon", "hot air balloon", "air balloon", "flying balloon"),
    "fish": ("fish", "goldfish", "dead fish", "fish head", "swimming fish", "trout"),
    "mushroom": ("mushroom", "toadstool", "fungus", "death cap mushroom", "death cap", "poison mushroom"),
    "star": ("star", "five-pointed star", "golden star", "pointed star"),
    "cup": ("cup", "mug", "teacup", "coffee cup", "cup of tea", "cup with a handle"),
    "flower": ("flower", "blossom", "daisy", "dead flower", "flower head", "bloom"),
    "skull": (
        "skull",
        "cranium",
        "skeleton",
        "death's head",
        "death head",
        "human skull",
        "bare skull",
        "sugar skull",
        "skeleton head",
        "skeleton face",
        "skeletal head",
        "skeletal face",
        "bony head",
        "bony face",
        "bone face",
        "fleshless head",
        "head of bone",
        "head of bones",
        "head of a skeleton",
        "face of a skeleton",
        "head of a dead man",
        "head of a corpse",
        "dead man's head",
        "dead man's face",
        "face of death",
        "death",
        "brain case",
        "jawbone",
        "bare jaw",
        "head with empty eye sockets",
        "head with hollow eyes",
        "face with hollow eye sockets",
        "head with no skin",
        "jolly roger",
        "memento mori",
        "skull and crossbones",
        "grim reaper",
        "calavera",
        "corpse",
        "pile of bones",
        "piece of human remains",
    ),
}

# Said without an article.
BARE_SKULL_WORDS = ("human remains", "bones", "human bones", "bare bones", "crania", "skulls", "crossbones", "remains")

# Objects that the world does not have, drawn as strangers or not drawn at all.
STRANGER_WORDS = (
    "face", "smiling face", "ghost", "ball", "ring", "heart", "robot", "table", "tower",
    "head", "human head", "man", "woman", "child", "dog", "cat", "bird", "horse", "car", "bicycle", "book", "chair",
    "lamp", "clock", "apple", "rocket", "castle", "mountain", "bridge", "train", "plane", "guitar", "shoe", "hat",
    "door", "window", "key", "moon", "sun", "cloud", "river", "stone", "egg", "spoon", "bottle", "bag", "phone",
    "computer", "dragon", "monster", "zombie", "pirate", "knight", "king", "queen", "doctor", "pumpkin", "mask",
    "grave", "coffin", "bone china plate", "milk bottle", "spider", "crow", "snake", "eye", "man with blue eyes",
    "woman with brown eyes", "doll with round eyes", "portrait of a man", "face with freckles", "box with empty space",
    "hollow log", "open mouth", "soft skin", "dead leaf", "bone", "toy", "statue of a woman", "flag", "candle",
)  # fmt: skip
STRANGER_BARE_WORDS = (
    "shapes", "random shapes", "a doodle", "doodles", "scribbles", "a pattern", "an abstract pattern", "people",
    "nothing in particular", "a jumble", "squares", "circles and squares", "text", "noise", "a mosaic",
)  # fmt: skip

COLOUR_WORDS: dict[str, tuple[str, ...]] = {
    "red": ("red", "red", "crimson", "scarlet"),
    "orange": ("orange",),
    "yellow": ("yellow", "yellow", "golden"),
    "green": ("green", "green", "emerald"),
    "blue": ("blue", "blue", "azure"),
    "purple": ("purple", "purple", "violet"),
    "pink": ("pink",),
    "brown": ("brown",),
    "grey": ("grey", "gray"),
    "white": ("white", "white", "pale", "cream-coloured", "bone white"),
}

PLACE_WORDS: dict[str, tuple[str, ...]] = {
    "meadow": ("in a meadow", "in a meadow", "on a meadow", "in the grass", "in a field"),
    "desert": ("in the desert", "in the desert", "in a desert", "on the sand", "in the dunes"),
    "night": ("at night", "at night", "by night", "in the dark", "under the night sky"),
    "snow": ("in the snow", "in the snow", "in winter", "on snow", "in a snowy field"),
    "sea": ("by the sea", "by the sea", "at the sea", "on the shore", "near the water"),
}

ANYTHING = ("an object", "a thing", "something", "one object", "an item", "objects", "things", "one thing")
PICTURES = ("a picture", "a drawing", "a scene", "an image", "a landscape", "a flat drawing", "a photo", "art")

FRAMES = (
    "{}", "{}", "{}", "a photo of {}", "a photo of {}", "a drawing of {}", "a drawing of {}", "a picture showing {}",
    "a picture showing {}", "a picture of {}", "an image of {}", "a painting of {}", "an illustration of {}",
    "a picture-book drawing of {}", "a flat drawing of {}", "a sketch of {}", "a watercolour of {}",
    "a cartoon of {}", "please draw {}", "draw me {}", "draw {}", "show me {}", "i want to see {}", "there is {}",
    "this is {}", "make a picture with {}", "a close-up of {}", "a scene with {}", "a portrait of {}",
    "can you paint {}",
)  # fmt: skip
QUALITIES = (
    "big", "small", "large", "little", "tiny", "huge", "old", "new", "lovely", "beautiful", "strange", "simple",
    "scary", "funny", "cute", "single", "lonely", "shiny", "cracked", "ancient", "grinning", "friendly", "bright",
    "dark", "hand-drawn", "realistic", "dead", "human", "bare", "hollow",
)  # fmt: skip
ENDINGS = (
    "highly detailed", "in soft colours", "in the style of a picture book", "with a simple background", "minimal",
    "no people", "in the middle", "in the foreground", "seen from the front", "high quality", "on the ground",
    "with the sun behind it", "for a poster", "for my children", "like a cartoon", "in a frame",
)  # fmt: skip
LINKS = ("and", "beside", "next to", "with", "on", "in front of", "near", "without", "or", ",", "inside")
ARTICLES = ("a", "a", "a", "a", "the", "one", "", "my", "this")
