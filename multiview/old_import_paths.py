"""Old import paths of moved modules and names: plugins and notebooks that use them keep working.

Importing `multiview` installs one finder, which answers for the names of `MOVED` only. The old path
of a module gives the very module of the new path, so that no class exists twice. A module that lost
a name to another module says so by `__getattr__ = old_import_paths.names_of(...)`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

MOVED = {
    "data.arrayfiles": "data.files.arrayfiles",
    "data.audiofiles": "data.files.audiofiles",
    "data.batch": "batch",
    "data.commands": "commands.stores",
    "data.crops": "data.load.crops",
    "data.dataset": "data.load.dataset",
    "data.derived": "data.write.derived",
    "data.draws": "counter_rng",
    "data.duplicates": "data.write.duplicates",
    "data.encoded": "data.files.encoded",
    "data.engines": "data.write.executors",
    "data.examine": "data.store.examine",
    "data.guess": "data.load.detect_source",
    "data.how": "data.write.settings",
    "data.images": "data.files.images",
    "data.lettering": "data.inspect.lettering",
    "data.lock": "folderlock",
    "data.manifest": "data.store.manifest",
    "data.merge": "data.write.merge",
    "data.output": "data.write.storefolder",
    "data.paint": "data.scenes.textures",
    "data.pictures": "data.inspect.pictures",
    "data.preprocess": "data.write.preprocess",
    "data.presence": "data.inspect.presence",
    "data.progress": "data.write.progress",
    "data.raycast": "data.scenes.raycast",
    "data.resize": "data.files.resize",
    "data.resolve": "data.load.open_data",
    "data.sampler": "data.load.sampler",
    "data.shard": "data.store.shard",
    "data.shardfiles": "data.store.shardfiles",
    "data.shardwriter": "data.write.shardwriter",
    "data.solids": "data.scenes.solids",
    "data.sound": "data.scenes.sound",
    "data.sources.cells": "data.columns.manifest_columns",
    "data.sources.classtree": "data.listing.classtree",
    "data.sources.clips": "data.columns.video_columns",
    "data.sources.filekinds": "data.columns.file_columns",
    "data.sources.labels": "data.listing.labels",
    "data.sources.pickles": "data.files.pickles",
    "data.sources.picturefiles": "data.columns.picture_columns",
    "data.sources.probe": "data.columns.headers",
    "data.sources.published": "data.listing.published",
    "data.sources.sizes": "data.columns.picture_sizes",
    "data.sources.sounds": "data.columns.sound_columns",
    "data.sources.splits": "data.listing.splits",
    "data.sources.tables": "data.listing.tables",
    "data.sources.tree": "data.listing.filetree",
    "data.sourcestore": "data.load.sourcestore",
    "data.space": "data.write.diskspace",
    "data.statistics": "data.store.statistics",
    "data.surface": "data.columns.surface_normals",
    "data.verify": "data.store.verify",
    "data.videofiles": "data.files.videofiles",
    "data.viewstatistics": "data.load.viewstatistics",
    "data.windows": "data.load.windows",
    "data.work": "data.write.shardjob",
    "evaluate": "measure",
    "evaluate.embeddings": "measure.embeddings",
    "evaluate.groups": "measure.view_subsets",
    "evaluate.knn": "measure.knn",
    "evaluate.linear": "measure.linear",
    "evaluate.run": "measure.evaluate",
    "evaluate.scores": "measure.scores",
    "evaluate.segmentation": "measure.segmentation",
    "evaluate.table": "measure.table",
    "kinds": "plugin_fields",
    "rows": "masked_forward",
    "train.config": "config",
    "train.run": "run",
    "train.symptoms": "train.diagnosis",
    "views.groups": "views.stored_views",
    "views.roots": "views.fast_roots",
    "words": "plurals",
}
"""Old name to new name, both without `multiview.`."""
RENAMED = {
    "data.crops": {"laid_out": "to_batch_layout"},
    "data.derived": {"hashed_place": "_hash_id"},
    "data.duplicates": {
        "dropped": "drop_copies",
        "found": "find_copies",
        "note": "copies_note",
        "refused": "copies_error",
    },
    "data.engines": {"TOLD_EVERY": "REPORT_SECONDS", "finished": "write_shards"},
    "data.guess": {"guess_source": "detect_source"},
    "data.how": {"How": "WriteSettings"},
    "data.lettering": {"NOWHERE": "MISSING", "lettered": "choose_font"},
    "data.output": {
        "make": "make_folder",
        "publish": "publish_text",
        "refuse_strangers": "refuse_other_folder",
        "sweep": "remove_partial_files",
    },
    "data.preprocess": {
        "FIRST_SPLITS": "data.write.planning.FIRST_SPLITS",
        "RESERVED": "data.write.planning.RESERVED",
        "already": "data.write.finish.report_already_whole",
        "manifest_of": "data.write.finish.manifest_of",
        "options": "data.write.planning.options_of",
        "planned": "make_plan",
    },
    "data.presence": {"patterns": "count_patterns"},
    "data.raycast": {"turn": "rotation_of"},
    "data.shard": {"Written": "ShardSummary"},
    "data.shardwriter": {"readable": "is_readable"},
    "data.space": {"estimated": "estimate_bytes"},
    "data.verify": {"Verified": "Verification"},
    "data.viewstatistics": {
        "measured": "measure_views",
        "settled": "with_statistics",
        "usable": "usable_views",
    },
    "data.work": {"Done": "FinishedShard", "Work": "ShardJob"},
    "data.arrayfiles": {
        "Form": "ArrayHeader",
        "forget": "close_files",
        "forms": "headers",
        "row": "read_row",
        "whole": "read_array",
    },
    "data.audiofiles": {
        "Form": "SoundHeader",
        "form": "header",
        "resampled": "resample_sound",
        "wave": "read_wave",
    },
    "data.encoded": {"Picture": "LazyImage"},
    "data.images": {"Depth": "DepthUnits", "as_rgb": "to_rgb", "naming": "name_failures"},
    "data.resize": {"Fit": "Resizer", "check_options": "check_size_options", "fit_of_sizes": "choose_resizer"},
    "data.sources.cells": {
        "LOOKED_AT": "CELLS_LOOKED_AT",
        "NUMBERS": "SHARE_OF_NUMBERS",
        "Part": "CellColumn",
        "demand_inside": "require_inside",
        "demand_outside": "refuse_embedded_files",
        "lists": "list_column",
        "numbers": "number_column",
        "texts": "text_column",
    },
    "data.sources.classtree": {"ClassTree": "ClassTreeOptions", "Files": "FileReader"},
    "data.sources.clips": {"Clips": "VideoOptions"},
    "data.sources.filekinds": {"FileKinds": "FileOptions"},
    "data.sources.labels": {"Table": "LabelTable", "locate": "find_csv"},
    "data.sources.picturefiles": {"Meaning": "Conventions", "PLAIN": "DEFAULT_CONVENTIONS"},
    "data.sources.probe": {"PROBED": "MOST_HEADERS", "probed": "read_headers", "commonest": "most_common_of"},
    "data.sources.published": {"holding": "find_archive", "carved": "training_split"},
    "data.sources.sizes": {"Sizes": "SizeOptions"},
    "data.sources.sounds": {"Sounds": "SoundOptions"},
    "data.sources.splits": {
        "canonical": "canonical_split",
        "hashed": "split_by_hash",
        "hash_note": "hash_split_note",
        "shares_of": "parse_shares",
        "together": "group_leaders",
    },
    "data.videofiles": {
        "Form": "VideoHeader",
        "form": "header",
        "library": "import_av",
        "sound": "sound_track",
    },
    "data.sources.tree": {
        "Tree": "FileTree",
        "entries": "walk_entries",
        "printable": "as_unicode",
        "tree": "find_files",
    },
    "evaluate.groups": {
        "BESIDE": "measure.rows.BESIDE",
        "CONCAT": "measure.rows.CONCAT",
        "gap": "why_not_measurable",
        "name_of": "measure.rows.group_name",
        "usual": "each_and_all",
    },
    "evaluate.run": {
        "CALIBRATION": "measure.untrained.CALIBRATION",
        "FILE": "measure.files.EVALUATION",
        "ONLINE_TEST": "measure.online.TEST_SAMPLES",
        "ONLINE_TRAIN": "measure.online.TRAIN_SAMPLES",
        "calibrate": "measure.untrained.calibrate_batch_norm",
        "compare_runs": "commands.compare.compare_runs",
        "online_knn": "measure.online.online_knn",
        "untrained": "measure.untrained.untrained_features",
    },
    "evaluate.scores": {
        "Features": "measure.features.Features",
        "Margin": "measure.intervals.Margin",
        "SCHEMA": "measure.files.SCHEMA",
        "concatenated": "measure.features.concatenated",
        "from_json": "measure.files.from_json",
        "margin": "measure.intervals.margin",
        "side_by_side": "measure.features.side_by_side",
        "to_json": "measure.files.to_json",
    },
    "evaluate.segmentation": {
        "FILE": "measure.files.SEGMENTATION",
        "RATE": "LEARNING_RATE",
        "SegmentationScore": "measure.rows.Measure",
        "fitted": "fit_probe",
        "show": "measure.segmentation_table.render_segmentation",
    },
    "rows": {"on_rows": "masked_forward"},
}
"""Names in moved modules that changed too: old module, old name, new name.

A new name with dots is in another module; its path is without `multiview.`.
"""

MOVED_NAMES = {
    "measure.linear": {"ITERATIONS": "measure.logistic.ITERATIONS", "TOLERANCE": "measure.logistic.TOLERANCE"},
    "data.inspect": {
        "CELL": "data.inspect.contact_sheet.CELL",
        "GAP": "data.inspect.contact_sheet.GAP",
        "LEFT": "data.inspect.contact_sheet.LEFT",
        "LISTED": "data.inspect.summary.LISTED",
        "LISTED_FACTORS": "data.inspect.summary.LISTED_FACTORS",
        "Render": "data.inspect.contact_sheet.Render",
        "SECONDS": "data.inspect.contact_sheet.SECONDS",
        "TOP": "data.inspect.contact_sheet.TOP",
        "contact_sheet": "data.inspect.contact_sheet.contact_sheet",
        "inspect_store": "data.inspect.inspection.inspect_store",
        "rendered": "data.inspect.contact_sheet.render_view",
        "show": "data.inspect.summary.print_summary",
        "summary": "data.inspect.summary.summarise",
    },
    "data.scenes": {
        "BLOCK": "data.scenes.random_scenes.BLOCK",
        "Body": "data.scenes.scene.Body",
        "COLOURS": "data.scenes.random_scenes.COLOUR_TRIES",
        "COMPANY": "data.scenes.random_scenes.COMPANION_SHARE",
        "Camera": "data.scenes.scene.Camera",
        "Colour": "data.scenes.scene.Colour",
        "DRAWS": "data.scenes.random_scenes.DRAWS",
        "Draws": "data.scenes.random_scenes.Draws",
        "KINDS": "data.scenes.scene.KINDS",
        "Light": "data.scenes.scene.Light",
        "PLAIN_SHARE": "data.scenes.random_scenes.PLAIN_SHARE",
        "Paint": "data.scenes.scene.Paint",
        "SPLITS": "data.scenes.random_scenes.SPLITS",
        "Scene": "data.scenes.scene.Scene",
        "Sound": "data.scenes.scene.Sound",
        "TEXTURES": "data.scenes.scene.TEXTURES",
        "arrangement": "data.scenes.random_scenes.arrangement",
        "draw_scenes": "data.scenes.random_scenes.draw_scenes",
    },
    "data.store": {"no_store": "data.store.reading.not_a_store"},
    "check": {"check": "commandline.run", "unknown_name": "errors.unknown_name"},
    "check.views": {"settled": "check.views.with_statistics"},
    "cli": {
        "Evaluate": "commands.runs.Evaluate",
        "Inspect": "commands.stores.Inspect",
        "compare": "commands.runs.compare",
        "evaluate": "commands.runs.evaluate",
        "inspect_store": "commands.stores.inspect_store",
        "list_plugins": "commands.plugins.list_plugins",
        "train": "commands.runs.train",
        "usage": "commandline.help_text",
    },
    "commands.stores": {
        "Preprocess": "commands.preprocess.Preprocess",
        "preprocess": "commands.preprocess.preprocess",
    },
    "errors": {"demand": "require.options"},
    "launch": {
        "chosen_by": "launch.parse_recipe",
        "complain": "exits.print_mistake",
        "recipe_of": "recipe_origin.recipe_of",
    },
    "options": {"KINDS": "options.PLAIN_TYPES"},
    "run": {
        "PLAIN_WIDTH": "train.prepare.PLAIN_WIDTH",
        "TRAIN_SPLIT": "train.prepare.TRAIN_SPLIT",
        "assembled": "train.prepare.assemble",
        "check_encoders": "train.checks.check_encoders",
        "check_norms": "train.checks.check_batch_norm",
        "check_synchronised": "train.checks.check_synchronised",
        "settled": "setup.with_statistics",
        "tensors_of": "setup.example_tensors",
    },
    "ops.multilinear": {"multilinear_terms": "ops.multilinear.anchored"},
    "ops.nce": {"moved_log_z": "ops.nce.updated_log_z"},
    "ops.ntxent": {
        "both_ways": "ops.ntxent.info_nce",
        "cross_terms": "ops.ntxent.info_nce_one_way",
        "ntxent_terms": "ops.ntxent.nt_xent",
    },
    "ops.pair_sigmoid": {"pair_sigmoid_terms": "ops.pair_sigmoid.pair_sigmoid"},
    "ops.queue_loss": {"queue_terms": "memory.queue.queue_terms"},
    "train.loop": {
        "STOP_SIGNALS": "train.stopping.STOP_SIGNALS",
        "Saved": "train.saving.Saved",
        "planned_steps": "train.schedule.planned_steps",
        "refuse_other_data": "train.resumable.refuse_other_data",
    },
    "train.optimiser": {
        "rate_factor": "train.schedule.rate_factor",
        "set_rate": "train.schedule.set_rate",
    },
    "train.plan": {"WORTH_SAYING": "train.plan.NOTED_SHARE", "bytes_text": "files.size_text"},
    "train.processes": {"Launcher": "train.stopping.Launcher"},
    "train.runfolder": {"NOT_OF_THE_RUN": "train.runfolder.NOT_COMPARED", "environment": "runs.environment"},
    "trained": {"load": "load_run.load"},
}
"""Module to its former names, each with the module and name of today, all without `multiview.`."""


class _Alias(Loader):
    """Loads the module of the new name; its own `__spec__` stays as it is."""

    def __init__(self, target: str, renamed: dict[str, str]) -> None:
        self.target, self.renamed = target, renamed

    def create_module(self, spec: ModuleSpec) -> ModuleType:  # noqa: ARG002
        module = importlib.import_module(self.target)
        self.spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec
        for old, new in self.renamed.items():
            home, _, name = new.rpartition(".")
            setattr(module, old, getattr(importlib.import_module(f"multiview.{home}") if home else module, name))


class _Finder(MetaPathFinder):
    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        old = name.removeprefix("multiview.")
        if old == name or old not in MOVED:
            return None
        return ModuleSpec(name, _Alias(f"multiview.{MOVED[old]}", RENAMED.get(old, {})))


def names_of(module: str) -> Callable[[str], Any]:
    """The `__getattr__` of a module that some names of `MOVED_NAMES` have left."""

    def get(name: str) -> Any:
        if name not in MOVED_NAMES[module]:
            raise AttributeError(f"module 'multiview.{module}' has no attribute '{name}'")
        target, _, attribute = MOVED_NAMES[module][name].rpartition(".")
        return getattr(importlib.import_module(f"multiview.{target}"), attribute)

    return get


def install() -> None:
    """Makes old names importable; a second call changes nothing."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
