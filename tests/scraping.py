"""What Prometheus would see: metrics asked for over HTTP, and parsed as it parses them."""

from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

PATIENCE_SECONDS = 30


class Scraped:
    """One answer: `families` by name, and the values of single samples."""

    def __init__(self, text):
        found = list(text_string_to_metric_families(text))
        self.families = {family.name: family for family in found}
        assert len(self.families) == len(found), "a family is there twice"
        self._samples = {}
        for family in found:
            for sample in family.samples:
                key = sample.name, frozenset(sample.labels.items())
                assert key not in self._samples, f"{key} is there twice"
                self._samples[key] = sample.value

    def __call__(self, name, **labels):
        """Returns the sample with exactly these labels, None if there is none."""
        return self._samples.get((name, frozenset((k, str(v)) for k, v in labels.items())))

    def all(self, name):
        """Returns the values of all samples of that name."""
        return [value for (found, _), value in self._samples.items() if found == name]


def scrape(url):
    with urlopen(f"{url}/metrics", timeout=PATIENCE_SECONDS) as answer:
        return Scraped(answer.read().decode())
