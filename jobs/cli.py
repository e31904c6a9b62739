"""The `texture-store` command: one sub-command a job, loaded when it is asked for."""

import importlib

import click

COMMANDS = {
    "index": "List an archive of micrographs, join labels, take a snapshot.",
    "preview": "A contact sheet of what featurize will see.",
    "featurize": "Compute mean, max and Gram features of every image.",
    "fit-dictionary": "Learn the words of VLAD from a sample.",
    "encode": "VLAD features of every image, with a dictionary that still fits.",
    "status": "What is indexed, featurized, rejected and pending.",
    "verify": "Check the whole store; set aside what is damaged.",
    "clean": "Remove what nothing needs any more.",
    "publish": "Write a snapshot's features as few large files.",
    "audit": "What a score would mean: metadata alone, duplicates, groups.",
    "evaluate": "How well feature sets tell the labels apart, and whether to trust it.",
    "report": "One HTML file of all that a store knows about a dataset.",
    "reevaluate": "The scheduled job: bring up to date, score, compare with the scores before.",
    "explain": "Why: important and characteristic textures, heat maps, typical images.",
    "submit": "Run one of these on a running Ray cluster, once at a time.",
    "sql": "Query a store with DuckDB.",
    "benchmark": "How fast this machine is, as ratios of one run.",
    "demo": "Everything on a small synthetic archive, from nothing.",
}


class _Jobs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"jobs.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(
    cls=_Jobs,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Each command has --help with an example. A store is a folder or a URL such as s3://lab/store.",
)
@click.version_option(package_name="texture-store")
def texture_store() -> None:
    """A feature store for micrographs: index an archive, featurize it with VGG16, query the features."""


def main() -> None:
    """Entry point of the console script."""
    texture_store(prog_name="texture-store")


if __name__ == "__main__":
    main()
