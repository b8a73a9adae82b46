"""Templates rendered in the process of the test, which knows them: no worker is started."""

from clarion.settings import Templates
from clarion.templates.bench import Answer, Bench, Job
from clarion.templates.pool import Ask


class Inside:
    """Renders in this very process.

    Args:
        settings: Limits.
    """

    def __init__(self, settings: Templates) -> None:
        self._bench = Bench(settings.fuel, settings.output)

    async def render(self, ask: Ask) -> list[Answer]:
        """As `Renders.render`."""
        job = Job(
            False, list(ask.sources.values()), ask.shared, ask.texts, ask.items, [], ask.now_ms
        )
        self._bench.learn(job.learn)
        return [
            *(self._bench.render(job, item) for item in ask.items),
            *(self._bench.check(id) for id in ask.checks),
        ]

    async def close(self) -> None:
        """Nothing runs."""
