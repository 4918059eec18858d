"""What is to be said about an evaluation's figures; all of it follows from the claim, so none of it can be left out."""

from __future__ import annotations

from provenance.canonical import Json

WARNINGS = {
    "fid_singular": "fewer pictures than feature dimensions: FID is biased upwards, compare it only at equal counts",
    "fid_few": "fewer than ten pictures for each feature dimension: FID is biased upwards",
    "kid_few": "KID subsets of fewer than 50 pictures: its spread is wide",
    "features_not_fid": "the features are not those of the FID Inception: compare with figures of the same digest only",
    "starter_features": "the starter CLIP knows the starter world alone: these figures say nothing of photographs",
    "reference_is_training_data": "compared with the pictures trained on: a model that copies them scores best",
    "few_prompts": "fewer than ten prompts: intervals of the CLIP score are too narrow",
    "pictures_blocked": "the safety policy blocked pictures: they are in no figure",
    "memorisation_not_measured": "memorisation was not measured",
}
"""What may be wrong with the figures, each by its code."""

FID_FEATURES, STARTER_FEATURES = "inception-fid", "starter"
"""How a claim names the features of the FID Inception, and of the CLIP model that comes with this package."""

_FEW_FOR_FID, _FEW_FOR_KID, _FEW_PROMPTS = 10, 50, 10


def due_warnings(claim: Json) -> list[str]:
    """The codes that a claim's own numbers call for, in the order of ``WARNINGS``."""
    fewest = min(claim["compared"], claim["reference"]["pictures"])
    dimensions, features = claim["features"]["dimensions"], claim["features"]["name"]
    due = {
        "fid_singular": fewest <= dimensions,
        "fid_few": dimensions < fewest < _FEW_FOR_FID * dimensions,
        "kid_few": claim["kid"]["subset_size"] < _FEW_FOR_KID,
        "features_not_fid": features != FID_FEATURES,
        "starter_features": features == STARTER_FEATURES,
        "reference_is_training_data": claim["reference"]["trained_on"],
        "few_prompts": min(claim["clip_score"]["groups"], claim["prompts"]["distinct"]) < _FEW_PROMPTS,
        "pictures_blocked": any(claim["blocked"].values()),
        "memorisation_not_measured": claim["memorisation"] is None,
    }
    return [code for code in WARNINGS if due[code]]
