"""What a policy file must look like: YAML without surprises, and every fault in it at once."""

from __future__ import annotations

import re
from typing import Any

from safety.decision import STAGES
from safety.errors import PolicyError
from safety.policy_thresholds import calibration_faults, threshold_faults

TYPE = "urn:prov:policy:v3"
KIND = "open_clip"
MAX_ITEMS, MAX_TEXT, MAX_CONCEPTS, MAX_DEPTH = 2000, 200, 200, 16

_FIX = "write it like the one that `prov policy show` prints"
_TOP = {"type", "name", "version", "on_error", "filter", "concepts"}
_LISTS = ("stages", "terms", "allow", "prompts", "anchors")
_CONCEPT = {*_LISTS, "languages", "thresholds", "calibration"}
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")


def parse_yaml(data: bytes, what: str) -> Any:
    """Parses YAML with plain values only: no aliases, no tags, no key twice; raises PolicyError."""
    import yaml

    try:
        text, depth = data.decode("utf-8"), 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            # The scanner's work grows with the square of the depth.
            if depth > MAX_DEPTH:
                raise PolicyError(f"{what} is nested too deeply", expected=f"at most {MAX_DEPTH} levels", fix=_FIX)
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise PolicyError(
                    f"{what} uses an alias", expected="every value written out", found=f"{event.start_mark}", fix=_FIX
                )
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None:
            _refuse_repeated_keys(node, what)
        return yaml.safe_load(text)
    except (UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        found = str(error).replace("\n", " ")[:300]
        raise PolicyError(f"{what} is not valid YAML", found=found, fix=_FIX) from error


def _refuse_repeated_keys(node: Any, what: str) -> None:
    import yaml

    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise PolicyError(f"{what} has a key that is not a word", found=str(key.start_mark), fix=_FIX)
            if key.value in seen:
                raise PolicyError(f"{what} names a key twice", found=f"{key.value!r}{key.start_mark}", fix=_FIX)
            seen.add(key.value)
            _refuse_repeated_keys(value, what)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_repeated_keys(value, what)


def faults_in(value: Any) -> list[str]:
    """Everything that is wrong with a parsed policy, one sentence each."""
    if not isinstance(value, dict):
        return ["the file is not a mapping"]
    faults = _keys(value, _TOP, "the policy")
    if value.get("type") != TYPE:
        faults.append(f"type is {value.get('type')!r}, not {TYPE!r}")
    if not _is_name(value.get("name")):
        faults.append("name is not a word of a-z, 0-9, - and _")
    version = value.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        faults.append("version is not a whole number from 1")
    if value.get("on_error") != "block":
        faults.append(f"on_error is {value.get('on_error')!r}; only block is possible")
    faults += _filter_faults(value.get("filter"))
    concepts = value.get("concepts")
    if not isinstance(concepts, dict) or not 1 <= len(concepts) <= MAX_CONCEPTS:
        return [*faults, f"concepts is not a mapping of 1 to {MAX_CONCEPTS} concepts"]
    for name, concept in concepts.items():
        faults += _concept_faults(name, concept)
    return faults


def _filter_faults(value: Any) -> list[str]:
    if not isinstance(value, dict):
        return ["filter is not a mapping"]
    faults = [f"filter: unknown key {key!r}" for key in value if key not in {"kind", "model", "pretrained"}]
    if value.get("kind") != KIND:
        faults.append(f"filter.kind is {value.get('kind')!r}, not {KIND}")
    if not _is_text(value.get("model"), 1000):
        faults.append("filter.model is not starter, a model's name, hf-hub:OWNER/NAME or local-dir:PATH")
    if value.get("pretrained") is not None and not _is_text(value.get("pretrained"), 1000):
        faults.append("filter.pretrained is not the name or path of weights")
    return faults


def _concept_faults(name: Any, value: Any) -> list[str]:
    where = f"concepts.{name}"
    if not _is_name(name):
        return [f"{where}: the name is not a word of a-z, 0-9, - and _"]
    if not isinstance(value, dict):
        return [f"{where} is not a mapping"]
    faults = _keys(value, _CONCEPT, where)
    for key in _LISTS:
        faults += _list_faults(value.get(key, []), f"{where}.{key}")
    stages = value.get("stages")
    stages = [stage for stage in stages if isinstance(stage, str)] if isinstance(stages, list) else []
    if not stages or any(stage not in STAGES for stage in stages):
        faults.append(f"{where}.stages is not one or more of {', '.join(STAGES)}")
    for key in ("terms", "allow"):
        faults += _term_faults(value.get(key), f"{where}.{key}")
    if "prompt" in stages and not value.get("terms"):
        faults.append(f"{where}.terms is empty, though prompts are screened for it")
    faults += _language_faults(value.get("languages", {}), f"{where}.languages")
    thresholds = value.get("thresholds", {})
    faults += threshold_faults(thresholds, f"{where}.thresholds")
    faults += calibration_faults(value.get("calibration", {}), thresholds, f"{where}.calibration")
    return faults + _scorer_faults(value, stages, where)


def _scorer_faults(value: dict[Any, Any], stages: list[str], where: str) -> list[str]:
    """What CLIP lacks in a concept, to compare pictures and, where it is asked to, texts."""
    faults = []
    thresholds = value.get("thresholds")
    thresholds = thresholds if isinstance(thresholds, dict) else {}
    if {"train", "output"} & set(stages):
        if "thresholds" in value and KIND not in thresholds:
            faults.append(f"{where}.thresholds has none for {KIND}")
        for key in ("prompts", "anchors"):
            if not value.get(key):
                faults.append(f"{where}.{key} is empty, though pictures are screened for it")
    if "open_clip_text" in thresholds:
        if not {"prompt", "train"} & set(stages):
            faults.append(f"{where}.thresholds.open_clip_text needs the stage prompt or train")
        for key in ("prompts", "anchors"):
            if not value.get(key):
                faults.append(f"{where}.{key} is empty, though texts are compared with it by open_clip_text")
    return faults


def _list_faults(items: Any, where: str) -> list[str]:
    if not isinstance(items, list) or len(items) > MAX_ITEMS or not all(_is_text(i, MAX_TEXT) for i in items):
        return [f"{where} is not a list of at most {MAX_ITEMS} texts of 1 to {MAX_TEXT} characters"]
    return [f"{where} names something twice"] if len(set(items)) != len(items) else []


def _term_faults(terms: Any, where: str) -> list[str]:
    texts = [term for term in terms if isinstance(term, str)] if isinstance(terms, list) else []
    return [f"{where}: {term!r} has no letter" for term in texts if not re.search(r"[^\W\d_]", term)]


def _language_faults(value: Any, where: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where} is not a mapping"]
    faults = []
    for language, terms in value.items():
        place = f"{where}.{language}"
        if not isinstance(language, str) or _LANGUAGE.fullmatch(language) is None:
            faults.append(f"{place} is not a language tag such as de or pt-BR")
        if not isinstance(terms, dict):
            faults.append(f"{place} is not a mapping")
            continue
        faults += _keys(terms, {"terms", "allow"}, place)
        for key in ("terms", "allow"):
            faults += _list_faults(terms.get(key, []), f"{place}.{key}")
            faults += _term_faults(terms.get(key), f"{place}.{key}")
    return faults


def _keys(value: dict[Any, Any], known: set[str], where: str) -> list[str]:
    unknown = [f"{where}: unknown key {key!r}" for key in value if key not in known]
    return unknown + [f"{where}: {key} is missing" for key in sorted(known - set(value))]


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _is_text(value: Any, limit: int) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= limit and bool(value.strip()) and value.isprintable()
