"""The card of a run, its own or a short one; it contains no active HTML."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

from untrained_runs import untrained

from emorec_tf.config.config import FeaturesConfig
from emorec_tf.evaluation import run_card
from emorec_tf.evaluation.model_card import LIMITS


def test_short_and_full_run_cards(tmp_path: Path, features: FeaturesConfig) -> None:
    run, _ = untrained(tmp_path, features)
    card = run_card.card_of(run)
    assert [line for line in LIMITS if line not in card] == []
    assert "Predicts one of a, b, c in a clip. Trained on demo, 1 speaker." in card
    assert run_card.UNTESTED in card
    metrics = {"n": 7, "uar": 0.5, "uar_ci95": [0.4, 0.6], "chance_uar": 0.125}
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    assert "Tested on 7 clips: UAR 50.0 % (40.0 to 60.0 %), chance 12.5 %." in run_card.card_of(run)
    (tmp_path / "metrics.json").write_text("{")
    assert run_card.UNTESTED in run_card.card_of(run)
    (tmp_path / "MODEL_CARD.md").write_text("# Mine")
    assert run_card.card_of(run) == "# Mine"


def test_markdown_becomes_html() -> None:
    markdown = """# A & B

One **bold** line
and `code`.
- first
- <script>alert(1)</script>

| a | b\\|c |
|---|---|
| 1 | 2 |

```yaml
- x: <y>

# no heading
```
## Last"""
    assert run_card.as_html(markdown).splitlines() == [
        "<h3>A &amp; B</h3>",
        "<p>One <strong>bold</strong> line",
        "and <code>code</code>.</p>",
        "<ul>",
        "<li>first</li>",
        "<li>&lt;script&gt;alert(1)&lt;/script&gt;</li>",
        "</ul>",
        '<div class="scroll"><table>',
        *("<thead>", "<tr>", "<th>a</th>", "<th>b|c</th>", "</tr>", "</thead>"),
        *("<tbody>", "<tr>", "<td>1</td>", "<td>2</td>", "</tr>", "</tbody>"),
        "</table></div>",
        '<pre><code class="language-yaml">- x: &lt;y&gt;',
        "",
        "# no heading",
        "</code></pre>",
        "<h4>Last</h4>",
    ]


def test_cards_contain_no_active_html() -> None:
    markdown = """<img src=x onerror=alert(1)> [a](javascript:alert(1)) ![b](http://c/d.png)
<http://c/d> <b onclick="alert(1)">b</b> [e]: http://c

<script>alert(1)</script>

| <table> | </table> |
|---|---|
| `<i>` | &lt;script&gt; |

```<x y="z">
</code></pre><script>alert(1)</script>
```
[e]: http://c/d
"""
    page = Tags(run_card.as_html(markdown, top=6))
    assert page.seen <= {"p", "div", "table", "thead", "tbody", "tr", "th", "td", "pre", "code"}
    assert page.attributes <= {"class"}


class Tags(HTMLParser):
    """Names of the elements and attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attrs}
