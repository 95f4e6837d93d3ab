"""The command that looks into a file of weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from multiview.commands.weights_options import Weights as Weights
from multiview.exits import DONE
from multiview.plurals import counted
from multiview.terminal import say

if TYPE_CHECKING:
    from multiview.weights import Report, Stored
    from multiview.weights.formats import Format
    from multiview.weights.towers import Tower


def weights(options: Weights) -> int:
    """multiview weights FILE [options]."""
    from multiview.encoder import make_encoder
    from multiview.train.first_weights import opened
    from multiview.weights import Target
    from multiview.weights.guess import guesses
    from multiview.weights.towers import tensors_of

    stored, form, part = opened(options.file)
    tower = tensors_of(stored, form, part, Target.of_any(options.channels or 0))
    _describe(stored, form, tower)
    if options.encoder is None:
        named = {name: each.tensor for name, each in tower.tensors.items()}
        found = guesses(stored, form, named, tower.name, make_encoder, options.in_channels)
        _line("fits", "; ".join(f"{each.text()} ({counted(each.channels, 'channel')})" for each in found) or _unknown())
        if not found:
            return DONE
        name, channels, made = found[0].name, options.channels or found[0].channels, dict(found[0].options)
    else:
        name, channels, made = options.encoder, options.channels or _channels(tower), dict(options.options)
    return _compare(options, stored, form, part, (name, channels, made))


def _unknown() -> str:
    return "no encoder that this command knows; compare one with --encoder NAME --options '{...}'"


def _channels(tower: Tower) -> int:
    """Input channels of the first convolution, by the usual names; 3 where these are not found."""
    for name in ("conv1.weight", "conv1.0.weight", "patch_embed.proj.weight", "stem.conv.weight", "stage1.0.weight"):
        if name in tower.tensors:
            return int(tower.tensors[name].tensor.shape[1])
    return 3


def _compare(
    options: Weights, stored: Stored, form: Format, part: str | None, made: tuple[str, int, dict[str, Any]]
) -> int:
    """Prints where every parameter goes. Raises MultiviewError when the file does not fit."""
    from multiview.encoder import make_encoder
    from multiview.weights.loading import fit

    name, channels, given = made
    target = make_encoder(name, channels, seed=0, **given).weights_target()
    report = fit(stored, target, tower=part, in_channels=options.in_channels, form=form)[0]
    said = "".join(f", {key} {value}" for key, value in given.items())
    say(f"\n{name} of {counted(channels, 'channel')}{said}, from the network {report.tower}")
    for outcome, count, what in _rows(report):
        _line(outcome, f"{count:>5}  {what}".rstrip())
    if options.all:
        _list(report)
    if not report.whole and not options.partial:
        raise report.mismatch()
    return DONE


def _describe(stored: Stored, form: Format, tower: Tower) -> None:
    """Format, entries, networks and normalisation of a file."""
    from multiview.weights.formats import facts_text

    facts = ", ".join(f"{key} {value}" for key, value in facts_text(stored).items())
    say(f"{stored.name}: {form.title}")
    _line("entries", f"{', '.join(stored.entries[:12])}{'; ' * bool(facts)}{facts}")
    towers = form.towers_in(stored)
    _line(
        "networks",
        ", ".join(f"{name} ({counted(len(names), 'tensor')})" for name, names in towers.items()) or tower.name,
    )
    _line("names", tower.dialect or "those of our encoders, torchvision or timm")
    for channels, (mean, std) in form.scales_in(stored).items():
        _line("trained on", f"{channels}: mean {_numbers(mean)}, std {_numbers(std)}")
    if form.note:
        _line("note", form.note)


def _rows(report: Report) -> Iterator[tuple[str, int, str]]:
    """(outcome, number of tensors, which) for every outcome that occurs."""
    yield "mapped", len(report.mapped), ""
    for name, how in report.adapted.items():
        yield "adapted", 1, f"{name}: {how}"
    for what, count in Counter(report.dropped.values()).items():
        yield "dropped", count, what
    lists: Mapping[str, Any] = {
        "missing": report.missing,
        "unknown": report.unknown,
        "other shape": [f"{name} {shapes}" for name, shapes in report.misshaped.items()],
    }
    for outcome, names in lists.items():
        if names:
            yield outcome, len(names), ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")


def _list(report: Report) -> None:
    """One line for every parameter."""
    for name, source in report.mapped.items():
        changed = f" ({report.adapted[name]})" if name in report.adapted else ""
        say(f"  mapped   {name} <- {source}{changed}")
    for name, what in report.dropped.items():
        say(f"  dropped  {name} ({what})")
    for outcome, names in (("missing", report.missing), ("unknown", report.unknown), ("other", report.misshaped)):
        for name in names:
            say(f"  {outcome:<8} {name}")


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{x:g}" for x in values)


def _line(name: str, text: str) -> None:
    say(f"  {name:<12} {text}")
