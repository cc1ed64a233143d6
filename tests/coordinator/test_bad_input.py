"""A table of wrong inputs: each is refused before the first request, with one sentence that names the mistake."""

import contextlib
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from llmstress.coordinator.commands import cli

HTTP = ("--url", "http://127.0.0.1:9", "--model", "m")
HTTPS = ("--url", "https://127.0.0.1:9", "--model", "m")
MANY = "9" * 25
DIGITS = "9" * 5000
LONG_LABEL = "http://" + "a" * 64 + ".example"

USAGE: list[tuple[tuple[str, ...], str]] = [
    # unknown flags
    (("--streems", "5"), "--streams"),
    (("--api", "telepathy"), "--api"),
    # files with flags, whose contents are tested in test_config.py
    *(
        (("--config", path), words)
        for path, words in (
            ("{dir}", "can't be read: Is a directory"),
            ("{dir}/none", "can't be read: No such file or directory"),
            ("{text}/x", "can't be read: Not a directory"),
            ("{bytes}", "is not UTF-8 text"),
            ("/dev/zero", "--config: /dev/zero is larger than 1 MiB"),
            ("", "can't be read: No such file or directory"),
        )
    ),
    (("--config", "{text}"), "line 1"),
    (("--preset", "chatt"), "'chatt' is not one of 'chat', 'rag', 'agent', 'batch', 'long-context'"),
    (("completion", "tcsh"), "'tcsh' is not one of 'bash', 'zsh', 'fish'"),
    # flags that an API does not support
    (("--api", "sse", "--max-tokens", "5"), "--max-tokens"),
    (("--api", "sse", "--no-stream"), "--no-stream"),
    (("--api", "sse", "--text", "a..b"), "--text"),
    (("--api", "sse", "--text", "a." * 5000 + "b"), "--text"),
    (("--api", "sse", "--text", 'a."b"'), "--text"),
    (("--api", "text", "--system", "x"), "--system"),
    (("--api", "http", "--method", "GET /x"), "--method"),
    (("--api", "http", "--method", "CONNECT"), "--method"),
    (("--api", "http", "--extra-body", '{"a":1}'), "--extra-body"),
    (("--api", "anthropic", "--ignore-eos"), "--ignore-eos"),
    (("--api", "openai-embeddings", "--max-tokens", "5"), "--max-tokens"),
    (("--url", "https://res.openai.azure.com"), "--model"),
    (("--url", "http://127.0.0.1:9/openai/v1", "--api", "azure-openai"), "--model"),
    (
        ("--url", "http://127.0.0.1:9/openai/deployments/d?api-version=1", "--api-version", "2"),
        "--api-version",
    ),
    (("--url", "http://127.0.0.1:9/{prompt} x", "--api", "http"), "--url"),
    (("extra",), "extra"),
    (("mok",), "mok"),
    ((*HTTP, "--streams"), "--streams"),
    ((*HTTP, "--model"), "--model"),
    ((*HTTP, "--insecure=yes"), "--insecure"),
    # numbers
    *(
        ((*HTTP, flag, value), flag)
        for flag in (
            *("--procs", "--streams", "--total-streams", "--requests", "--max-tokens", "--max-total-tokens"),
            *("--requests-per-connection", "--warmup-requests"),
        )
        for value in ("0", "-1", MANY, DIGITS, "1.5", "1e3", "many", "", "1,000", "0x10", "nan")
    ),
    *(((*HTTP, "--seed", value), "--seed") for value in ("-1", MANY, DIGITS, "x", str(1 << 63))),
    ((*HTTP, "--streams", "1000000001"), "--streams"),
    ((*HTTP, "--max-tokens", "1000000000000"), "--max-tokens"),
    ((*HTTP, "--requests", "1000000000000000"), "--requests"),
    ((*HTTP, "--procs", "1025"), "--procs"),
    # durations
    *(
        ((*HTTP, flag, value), flag)
        for flag in (
            *("--duration", "--ramp-up", "--warmup", "--grace", "--interval", "--error-pause", "--timeout-connect"),
            *("--timeout-first-token", "--timeout-idle", "--timeout-total"),
        )
        for value in ("10", "-1s", "5x", "", "1e9s", "9999999999999h", DIGITS + "s", "inf", "NaNs", "1s 1s")
    ),
    ((*HTTP, "--duration", "0s"), "--duration"),
    ((*HTTP, "--interval", "1ms"), "--interval"),
    ((*HTTP, "--interval", "1h"), "--interval"),
    # error limits
    *(((*HTTP, "--max-errors", value), "--max-errors") for value in ("0", "-3", "0%", "101%", "x", "", DIGITS, "5%%")),
    # failure policy
    *(((*HTTP, "--retries", value), "--retries") for value in ("-1", "1001", MANY, "1.5", "many", "")),
    *(
        ((*HTTP, "--on-status", value), "--on-status")
        for value in ("", "404", "404=", "404=skip", "=count", "200=count", "5xx=retry", "ok=end", "404=retry=count")
    ),
    # checks, and users who leave
    *(
        ((*HTTP, "--check", value), "--check")
        for value in ("", "foo", "contains", "min-tokens:0", "regex:(", "finish:,", "json-schema:{dir}/none", "json:x")
    ),
    ((*HTTP, "--check", "json-schema:{text}"), "it is not JSON"),
    ((*HTTP, "--api", "openai-embeddings", "--check", "contains:x"), "have no text; use min-tokens or finish"),
    *(((*HTTP, "--abandon", value, "--abandon-after", "5s"), "--abandon") for value in ("", "150%", "-1%", "many")),
    *(
        ((*HTTP, "--abandon", "5%", "--abandon-after", value), "--abandon-after")
        for value in ("", "5", "0s", "3s..1s", "exp:0s")
    ),
    ((*HTTP, "--abandon", "5%"), "--abandon needs a moment: --abandon-after 5s, or --abandon-after-tokens 20"),
    ((*HTTP, "--abandon-after", "5s"), "--abandon-after needs the share"),
    ((*HTTP, "--abandon-after-tokens", "5"), "--abandon-after-tokens needs the share"),
    ((*HTTP, "--abandon", "5%", "--abandon-after-tokens", "0"), "--abandon-after-tokens"),
    ((*HTTP, "--abandon", "5%", "--abandon-after-tokens", "5", "--no-stream"), "drop --no-stream"),
    ((*HTTP, "--api", "http", "--abandon", "5%", "--abandon-after-tokens", "5"), "are not streamed"),
    # SLOs
    *(
        ((*HTTP, "--slo", value), "--slo")
        for value in (
            *(
                "",
                "ttft",
                "ttft<",
                "<500ms",
                "ttft>500ms",
                "ttft=500ms",
                "ttft<500",
                "ttft<0",
                "ttft<0.0001ms",
                "tft<1s",
            ),
            *("itl<20ms", "loop_lag<1ms", "tps_user>20", "tps_user<20ms", "ttft<1s,tpot<50ms", "ttft<1s tpot<50ms"),
            *("ttft_p99<1s", "p99(ttft)<1s", "ttft<<1s", f"ttft<{DIGITS}s", "ttft<nan", "ü<1s"),
        )
    ),
    *(((*HTTP, "--slo-preset", value), "--slo-preset") for value in ("", "mlperf", "mlperf:llama", "list", DIGITS)),
    *(
        ((*HTTP, "--deadline", value), "--deadline")
        for value in (
            *(
                "",
                "500ms",
                "first=500ms",
                "token=50ms",
                "first=500,token=50",
                "first=0,token=50ms",
                "first=1s,first=1s",
            ),
            *("first=500ms,token=0s", "first=1s,token=1s,last=1s", "first=1s;token=1s"),
        )
    ),
    *(
        ((*HTTP, "--reading-speed", value), "--reading-speed")
        for value in ("", "0", "-1", "20/s", "1e3", "nan", "10001", MANY, DIGITS, "0.0")
    ),
    *(
        ((*HTTP, "--no-stream", *given), f"{given[0]} {given[1]}" if given[0] == "--slo" else given[0])
        for given in (
            *(("--slo", f"{metric}<1s") for metric in ("ttft", "ttft_due", "ttfa", "tpot", "stall")),
            ("--slo-preset", "mlperf:llama2-70b"),
            ("--deadline", "first=1s,token=50ms"),
            ("--reading-speed", "20"),
        )
    ),
    # sweeps and the search for the capacity
    *(
        ((*HTTP, "--sweep", value), "--sweep")
        for value in (
            *("", "0", "1,", "2,1", "1,1", "1..10", "5..1x2", "1..9x1", "1..9+0", "1,1/s", "1..900+1", DIGITS, "1e3"),
            *("600k-tokens/m", "1..10+0.5", "ü", "1..2x" + MANY, "-5,5", "nan"),
        )
    ),
    *(((*HTTP, "--sweep", "1,2", "--point", value), "--point") for value in ("10", "0s", "0.5s", "2h", "x", "")),
    *(
        ((*HTTP, "--sweep", "1,2", *given), given[0])
        for given in (
            *(("--duration", "9s"), ("--requests", "9"), ("--ramp-up", "9s"), ("--warmup", "9s"), ("--rate", "5/s")),
            *(("--warmup-requests", "9"), ("--streams", "9"), ("--total-streams", "9"), ("--stage", "9s:9")),
            *(("--arrival", "poisson"), ("--burstiness", "2"), ("--max-queue", "5")),
        )
    ),
    ((*HTTP, "--sweep", "1/s,2/s", "--think-time", "1s"), "--think-time"),
    (("find", *HTTP), "--slo"),
    *(
        (("find", *HTTP, "--slo", "ttft<1s", *given), given[0])
        for given in (
            *(("--from", value) for value in ("0", "", "x", "1.5", "10/s", MANY, "-1", "1..2", "9000")),
            *(("--to", value) for value in ("0", "", "x", "1.5", "10/s", MANY, "-1", "1..2")),
            *(("--attain", value) for value in ("", "0%", "1", "100%", "101%", "x", "99.99%", "-1", "40%", DIGITS)),
            *(("--budget", value) for value in ("", "10", "x", "-1s", "0s")),
            *(("--point", value) for value in ("", "10", "0s", "2h")),
            *(("--unit", value) for value in ("", "rates", "requests", "stream")),
            *((flag, "5") for flag in ("--streams", "--requests", "--warmup-requests", "--sweep", "--rate")),
            *((flag, "5s") for flag in ("--duration", "--warmup", "--ramp-up", "--stage")),
            ("--total-streams", "5"),
        )
    ),
    (("find", *HTTP, "--slo", "ttft<1s", "--unit", "rate", "--from", "10", "--to", "5"), "--from"),
    (("find", *HTTP, "--slo", "ttft<1s", "--unit", "rate", "--pacing", "5s"), "--pacing"),
    # thresholds
    *(
        ((*HTTP, flag, value), flag)
        for flag in ("--fail-if", "--abort-if")
        for value in ("", "ttft.p99", "ttft.p99>", "tftt.p99>1s", "ttft.p99>800", "errors.rate>5", DIGITS, "a\udcff>1")
    ),
    ((*HTTP, "--fail-if", "ttft.p99>1s in stage 3"), "--fail-if ttft.p99>1s in stage 3: the run has no window"),
    ((*HTTP, "--abort-if", "ttft.p99>1s in ramp"), "--abort-if ttft.p99>1s in ramp: the run has no window 'ramp'"),
    ((*HTTP, "--duration", "9s", "--fail-if", "e2e.p50>1s over 10s"), "only 9 s are judged"),
    ((*HTTP, "--duration", "9s", "--fail-if", "e2e.p50>1s over 5s after 5s"), "needs 10 s"),
    ((*HTTP, "--fail-if", "goodput.share<95%"), "--fail-if goodput.share<95% needs limits for good requests: --slo"),
    ((*HTTP, "--abort-if", "dropped>0"), "--abort-if dropped>0 needs requests that arrive at a rate: --rate"),
    ((*HTTP, "--undecided", "maybe"), "--undecided"),
    # contradictions
    ((*HTTP, "--total-streams", "10", "--streams", "5"), "--total-streams"),
    ((*HTTP, "--total-streams", "10", "--streams", "100"), "--total-streams"),
    ((*HTTP, "--no-keepalive", "--requests-per-connection", "5"), "--no-keepalive"),
    ((*HTTP, "--headless", "--tui"), "--tui"),
    ((*HTTP, "--tui"), "--tui"),
    ((*HTTP, "--warmup-requests", "9", "--warmup", "1s"), "--warmup-requests"),
    # rates
    *(
        ((*HTTP, flag, value), flag)
        for flag in ("--rate", "--bystander")
        for value in (
            *("", "200", "/s", "200/", "200/d", "0/s", "-1/s", "0.5.5/s", "1e3/s", "inf/s", "nan/s", "1/0s", "5 / s"),
            *("1,000/s", "200/s/s", "200/S", "0.000001/s", "1/h/s", "2000000/s", DIGITS + "/s", "٣/s", "1k", "s/1"),
        )
    ),
    *(
        ((*HTTP, "--rate", value), "--rate")
        for value in ("600k-tokens", "600k-words/m", "0-tokens/s", "9999999M-tokens/s")
    ),
    ((*HTTP, "--rate", "0.01-tokens/h"), "at least one a day"),
    ((*HTTP, "--bystander", "600k-tokens/m"), "write requests, like 1/s"),
    ((*HTTP, "--bystander", "101/s"), "at most 100/s"),
    ((*HTTP, "--rate", "10/s", "--arrival", "uniform"), "--arrival"),
    ((*HTTP, "--rate", "10/s", "--arrival", ""), "--arrival"),
    *(
        ((*HTTP, "--rate", "10/s", "--burstiness", value), "--burstiness")
        for value in ("0", "-1", "nan", "inf", "0.0001", "1001", "x", "", MANY)
    ),
    *(((*HTTP, "--rate", "10/s", "--max-queue", value), "--max-queue") for value in ("-1", "x", "1.5", MANY, "")),
    *(
        ((*HTTP, "--rate", "10/s", "--queue-timeout", value), "--queue-timeout")
        for value in ("10", "-1s", "5x", "", "inf", DIGITS + "s")
    ),
    # models that contradict each other
    *(
        ((*HTTP, flag, value), f"{flag} needs requests that arrive at a rate")
        for flag, value in (
            *(("--arrival", "poisson"), ("--burstiness", "0.5"), ("--max-queue", "5"), ("--queue-timeout", "5s")),
        )
    ),
    *(
        ((*HTTP, *arrive, flag, value), f"{flag} is for streams")
        for arrive in (("--rate", "10/s"), ("--stage", "1s:10/s"))
        for flag, value in (("--think-time", "1s"), ("--pacing", "1s"))
    ),
    ((*HTTP, "--rate", "10/s", "--arrival", "constant", "--burstiness", "0.5"), "--burstiness is for gamma arrivals"),
    ((*HTTP, "--rate", "10/s", "--arrival", "poisson", "--burstiness", "2"), "--burstiness is for gamma arrivals"),
    *(
        ((*HTTP, "--stage", "10s:5", flag, value), f"{flag} and --stage can't be used together")
        for flag, value in (
            *(("--rate", "10/s"), ("--duration", "1s"), ("--requests", "9"), ("--ramp-up", "1s"), ("--warmup", "1s")),
            *(("--warmup-requests", "9"),),
        )
    ),
    ((*HTTP, "--stage", "10s:5", "--streams", "9"), "--streams and --stage in streams"),
    ((*HTTP, "--stage", "10s:5", "--total-streams", "9"), "--total-streams and --stage in streams"),
    ((*HTTP, "--stage", "10s:5", "--stage", "10s:5/s"), "all stages in streams (100), or all as rates"),
    ((*HTTP, "--stage", "10s:5/s", "--stage", "10s:5"), "all stages in streams (100), or all as rates"),
    # stages
    *(
        ((*HTTP, "--stage", value), "--stage")
        for value in (
            *(
                "",
                ":",
                "10s",
                "10s:",
                ":5",
                "10:5",
                "-1s:5",
                "10s:-5",
                "10s:5.5",
                "10s:5:jump",
                "10s:5:step:step",
                "0:5",
            ),
            *(
                "10s:5:",
                "10s:5:linear/2s",
                "10s:5:sine/",
                "10s:5:sine/0",
                "10s:5:sine/11s",
                "10s:5:sine/50ms",
                "50ms:5",
            ),
            *(
                "10s:many",
                "10s:5/d",
                "10s:600k-tokens/m",
                "10s:" + DIGITS,
                f"{DIGITS}s:5",
                "10s:nan",
                "10s:1e3",
                "5:10s",
            ),
            *("10s:2000000/s", "10s;5", "10s:5 streams", "10s:1,000", "99999h:5", "10s:5/s:sine/x"),
        )
    ),
    ((*HTTP, "--stage", "10s:0"), "every stage asks for a load of 0"),
    ((*HTTP, "--stage", "10s:0/s", "--stage", "1s:0"), "every stage asks for a load of 0"),
    ((*HTTP, "--stage", "24h:5/s:sine/100ms"), "may have 1,000 periods"),
    ((*HTTP, *(("--stage", "1s:5") * 1001)), "at most 1,000 stages, not 1,001"),
    # pauses
    *(
        ((*HTTP, "--think-time", value), "--think-time")
        for value in (
            *(
                "",
                "5",
                "-1s",
                "1s..",
                "..1s",
                "3s..1s",
                "1s..2s..3s",
                "exp:",
                "exp:0s",
                "exp:5",
                "exp:1s..2s",
                "normal:1s",
            ),
            *("inf", "1s-3s", DIGITS + "s"),
        )
    ),
    *(((*HTTP, "--pacing", value), "--pacing") for value in ("", "5", "-1s", "1s..2s", "inf", "exp:1s")),
    # traces
    *(
        ((*HTTP, "--trace", "{trace}", "--speed", value), "--speed")
        for value in ("0", "-1", "nan", "inf", "x", "", "1001")
    ),
    ((*HTTP, "--speed", "2"), "--trace"),
    ((*HTTP, "--skip-bad-rows"), "--trace"),
    *(
        ((*HTTP, "--trace", "{trace}", *others), others[0])
        for others in (
            *(
                ("--rate", "5/s"),
                ("--stage", "5s:5/s"),
                ("--stage", "5s:5"),
                ("--ramp-up", "1s"),
                ("--min-tokens", "5"),
            ),
            *(("--arrival", "poisson"), ("--burstiness", "2"), ("--think-time", "1s"), ("--pacing", "1s")),
        )
    ),
    *(
        ((*HTTP, "--trace", path), "--trace")
        for path in (
            *("", "{dir}", "{dir}/none", "{text}", "{text}/x", "{empty}", "{bytes}", "{key}", "{fifo}", "{socket}"),
            *("{loop}", "/dev/null", "/dev/zero", "a" * 300, "\udcff"),
        )
    ),
    ((*HTTP, "--trace", "{bad}"), "line 2: output_length is -3"),
    ((*HTTP, "--trace", "{bad}", "--skip-bad-rows"), "no rows that can be used, 1 are bad; line 2: output_length"),
    ((*HTTP, "--trace", "{columns}"), "no known trace has the columns 'when', 'size'. Understood are"),
    ((*HTTP, "--trace", "{trace}", "--speed", "0.001"), "longer than a year"),
    # names of files
    *(((*HTTP, flag, "a\udcff"), flag) for flag in ("--output", "--record", "--log-file", "--unix-socket")),
    *(((*HTTPS, flag, "a\udcff"), flag) for flag in ("--cacert", "--cert", "--key")),
    # headers and keys
    ((*HTTP, "--header", "no colon"), "--header"),
    ((*HTTP, "--header", ""), "--header"),
    ((*HTTP, "--header", ": x"), "--header"),
    ((*HTTP, "--header", "A B: x"), "--header"),
    ((*HTTP, "--header", "X: a\r\nY: b"), "--header"),
    ((*HTTP, "--header", "X: a\0b"), "--header"),
    ((*HTTP, "--header", "X: ü"), "--header"),
    ((*HTTP, "--header", "X: \udcff"), "--header"),
    ((*HTTP, "--header", "X: " + "a" * 100_000), "--header"),
    ((*HTTP, "--header", "X: env:NO_SUCH_VARIABLE"), "NO_SUCH_VARIABLE"),
    ((*HTTP, "--header", "Content-Length: 3"), "--header"),
    ((*HTTP, "--header", "transfer-encoding: chunked"), "--header"),
    ((*HTTP, "--header", "Connection: close"), "--header"),
    ((*HTTP, "--api-key-env", "NO_SUCH_VARIABLE"), "--api-key-env"),
    ((*HTTP, "--api-key-env", ""), "--api-key-env"),
    ((*HTTP, "--api-key-env", "A=B"), "--api-key-env"),
    ((*HTTP, "--api-key-env", "KEY_OF_TWO_LINES"), "KEY_OF_TWO_LINES"),
    # the request
    *(
        ((*HTTP, "--extra-body", value), "--extra-body")
        for value in (
            *("", "{", "[1]", "5", "null", "'a'", '{"a": 1,}', '{"a": NaN}', '{"a": "\udcff"}', '{"a": "\\ud800"}'),
            *("[" * 100_000, '{"a":' * 5000 + "1" + "}" * 5000, '{"a":' * 300 + "1" + "}" * 300),
        )
    ),
    ((*HTTP, "--prompt", "\udcff"), "--prompt"),
    ((*HTTP, "--system", "\udcff"), "--system"),
    (("--url", "http://127.0.0.1:9", "--model", "\udcff"), "--model"),
    (("--url", "http://127.0.0.1:9", "--model", ""), "--model"),
    # targets
    *(
        (("--url", url, "--model", "m"), "--url")
        for url in (
            *("", "localhost:8000", "ftp://x", "http://", "http:///v1", "http://:80", "http://h:99999", "http://h:x"),
            *("http://[::1", "http://h ost", "http://h/\r\nX: 1", "http://hé", "http://\udcff", "file:///etc/passwd"),
            *("http://h:80:80", "http://[::g]", "http://h:-1", "http://h:0", "https//h", "http//h", "http:/h", "://h"),
            *("http://u:p@", "http://@", "http://?", "http://#", "javascript:alert(1)"),
            *(LONG_LABEL, "http://a..example", "http://.example", "http://%zz", "http://a%00b", "http://h\\x"),
        )
    ),
    # the network path to the target
    *(
        ((*HTTP, "--proxy", value), "--proxy")
        for value in ("", "https://h:1", "socks5://h:1", "ftp://h", "h:99999", "http://", "http://h h:1", "h:0", "ü:1")
    ),
    *(
        ((*HTTP, "--resolve", value), "--resolve")
        for value in (
            *("", "x", "h:80", "127.0.0.1:9:", "127.0.0.1:9:name", "127.0.0.1:0:::1", "127.0.0.1:99999:127.0.0.1"),
            *("127.0.0.1:9:127.0.0.1,", "127.0.0.1:8:127.0.0.1", "other:9:127.0.0.1", "127.0.0.1:9:1.2.3.4.5"),
        )
    ),
    ((*HTTP, "--resolve", "127.0.0.1:9:127.0.0.1", "--proxy", "http://127.0.0.1:1"), "--resolve"),
    *(
        ((*HTTP, "--source-ip", value), "--source-ip")
        for value in ("", "eth0", "localhost", "1.2.3", "127.0.0.1/8", "192.0.2.7", "2001:db8::7", "::1", "ü")
    ),
    (("--url", "http://[::1]:9", "--model", "m", "--source-ip", "127.0.0.1"), "--source-ip"),
    ((*HTTP, "--unix-socket", "{socket}", "--proxy", "http://127.0.0.1:1"), "--unix-socket"),
    ((*HTTP, "--unix-socket", "{socket}", "--resolve", "127.0.0.1:9:127.0.0.1"), "--unix-socket"),
    ((*HTTP, "--unix-socket", "{socket}", "--source-ip", "127.0.0.1"), "--unix-socket"),
    ((*HTTPS, "--unix-socket", "{socket}"), "--unix-socket"),
    *(
        ((*HTTP, "--unix-socket", path), "--unix-socket")
        for path in ("", "{dir}", "{dir}/none", "{text}", "{text}/x", "{dir}/" + "a" * 200)
    ),
    # TLS
    *(((*HTTP, flag, "{cert}"), flag) for flag in ("--cacert", "--cert")),
    ((*HTTP, "--insecure"), "--insecure"),
    ((*HTTPS, "--key", "{key}"), "--cert"),
    ((*HTTPS, "--insecure", "--cacert", "{cert}"), "--insecure"),
    *(
        ((*HTTPS, "--cacert", path), "--cacert")
        for path in ("", "{dir}", "{dir}/none", "{text}", "{empty}", "{key}", "{fifo}", "{bytes}", "/dev/null")
    ),
    *(
        ((*HTTPS, "--cert", path, "--key", "{key}"), "--cert")
        for path in ("", "{dir}", "{dir}/none", "{text}", "{empty}", "{key}", "{fifo}", "{bytes}")
    ),
    *(
        ((*HTTPS, "--cert", "{cert}", "--key", path), "--key")
        for path in (
            "",
            "{dir}",
            "{dir}/none",
            "{text}",
            "{empty}",
            "{cert}",
            "{fifo}",
            "{bytes}",
            "{other}",
            "{locked}",
        )
    ),
    ((*HTTPS, "--cert", "{cert}"), "--key"),
    ((*HTTPS, "--cert", "{damaged}"), "--cert"),
    # without a target
    (("--proxy", "http://127.0.0.1:1"), "--proxy"),
    (("--unix-socket", "{socket}"), "--unix-socket"),
    (("--resolve", "h:1:127.0.0.1"), "--resolve"),
    (("--cacert", "{cert}"), "--cacert"),
    (("--insecure",), "--insecure"),
    # files that are written
    *(
        ((*HTTP, flag, path), flag)
        for flag in ("--output", "--record", "--log-file")
        for path in ("", "{dir}", "{dir}/none/x", "{text}/x", "{fifo}", "{socket}", "{loop}", "/proc/x", "a" * 300)
    ),
    ((*HTTP, "--output", "{dir}/x", "--record", "{dir}/x"), "--record"),
    ((*HTTP, "--output", "{dir}/x", "--log-file", "{dir}/./x"), "--log-file"),
    ((*HTTP, "--record", "{text}", "--log-file", "{link}"), "--log-file"),
    # the other commands
    (("mock", "--port", "99999"), "--port"),
    (("mock", "--port", "-1"), "--port"),
    (("mock", "--port", "{port}"), "--port"),
    (("mock", "--host", "192.0.2.1"), "--host"),
    (("mock", "--host", "no such host"), "--host"),
    (("mock", "--host", "a..b"), "--host"),
    (("mock", "--host", ""), "--host"),
    (("mock", "--tokens", "0"), "--tokens"),
    (("mock", "--tokens", MANY), "--tokens"),
    (("mock", "--jitter", "lots"), "--jitter"),
    (("mock", "--jitter", "200%"), "--jitter"),
    (("mock", "--jitter", "nan"), "--jitter"),
    (("mock", "--procs", "0"), "--procs"),
    (("mock", "--procs", MANY), "--procs"),
    (("mock", "--ttft", "-1s"), "--ttft"),
    (("mock", "--gap", "2h"), "--gap"),
    (("mock", "--seed", "-1"), "--seed"),
    *(
        (("mock", "--port", "0", "--tls-cert", path), "--tls-cert")
        for path in ("none.pem", "{dir}", "{dir}/none", "{text}", "{empty}", "{cert}", "{key}", "{damaged}")
    ),
    (("mock", "--port", "0", "--tls-cert", "{cert}", "--tls-key", "{other}"), "--tls-key"),
    (("mock", "--port", "0", "--tls-cert", "{cert}", "--tls-key", "{dir}/none"), "--tls-key"),
    *(
        (
            ("mock", "--port", "0", "--tls-cert", "{cert}", "--tls-key", "{key}", "--tls-client-ca", path),
            "--tls-client-ca",
        )
        for path in ("{dir}/none", "{text}", "{empty}", "{key}")
    ),
    (("mock", "--bogus"), "--bogus"),
    (("attach", "x"), "PID"),
    (("attach", "1", "2"), "2"),
    (("attach", "-1"), "-1"),
    (("attach", MANY, "--bogus"), "--bogus"),
    (("replay",), "FILE"),
    (("replay", "{dir}"), "FILE"),
    (("replay", "{dir}/none"), "FILE"),
    (("replay", "{text}"), "not a recorded run"),
    (("replay", "{empty}"), "not a recorded run"),
    (("replay", "{bytes}"), "not a recorded run"),
    (("replay", "{fifo}"), "not a recorded run"),
    (("replay", "{text}", "--speed", "0"), "--speed"),
    (("replay", "{text}", "--speed", "nan"), "--speed"),
]
"""Arguments, and a part of the message; exit code 2. `{...}` stands for a file of `places`."""

NOT_STARTED: list[tuple[tuple[str, ...], str]] = [
    ((*HTTP, "--streams", "1000000000"), "--streams"),
    ((*HTTP, "--total-streams", "1000000000"), "--total-streams"),
    ((*HTTP, "--rate", "10/s", "--total-streams", "1000000000"), "--total-streams"),
    ((*HTTP, "--stage", "10s:100000000"), "--stage"),
    (("attach",), "you have no run"),
    (("attach", "1"), "you have no run"),
    (("attach", MANY), "you have no run"),
]
"""The same for arguments that are correct, but cannot be carried out on this machine; exit code 3."""

UNREACHABLE: list[tuple[tuple[str, ...], str]] = [
    (HTTP, "http://127.0.0.1:9/v1/chat/completions (--url) can't be reached"),
    ((*HTTP, "--proxy", "http://u:sk-secret@127.0.0.1:9"), "http://***@127.0.0.1:9 (--proxy) can't be reached"),
    ((*HTTP, "--unix-socket", "{socket}"), "socket (--unix-socket) can't be reached"),
]
"""Targets without a listener: these runs start their workers before the connection fails."""


@pytest.fixture(scope="module")
def places() -> Iterator[dict[str, str]]:
    """Files of all kinds, and a port in use."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ls-")))
        mine, others = (trustme.CA().issue_cert("localhost") for _ in range(2))
        key = mine.private_key_pem.bytes()
        files = {
            "text": b"some text\n",
            "empty": b"",
            "bytes": bytes(range(256)) * 8,
            "cert": mine.cert_chain_pems[0].bytes(),
            "key": key,
            "other": others.private_key_pem.bytes(),
            "locked": b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nMA==\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "trace": b'{"timestamp": 0, "output_length": 3}\n{"timestamp": 99000000000, "output_length": 3}\n',
            "bad": b'\n{"timestamp": 0, "output_length": -3}\n',
            "columns": b"when,size\n1,2\n",
            "damaged": b"-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n" + key,
        }
        for name, content in files.items():
            (directory / name).write_bytes(content)
        os.mkfifo(directory / "fifo")
        (directory / "loop").symlink_to(directory / "loop")
        (directory / "link").symlink_to(directory / "text")
        unix, taken = (stack.enter_context(socket.socket(family)) for family in (socket.AF_UNIX, socket.AF_INET))
        unix.bind(str(directory / "socket"))
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        found = {name: str(directory / name) for name in (*files, "fifo", "loop", "link", "socket")}
        yield {**found, "dir": str(directory), "port": str(taken.getsockname()[1])}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An environment without proxies, with a key that can't be sent, and without runs."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("KEY_OF_TWO_LINES", "sk-1234567\nX: y")
    with tempfile.TemporaryDirectory(prefix="ls-") as name:
        monkeypatch.setenv("XDG_RUNTIME_DIR", name)
        yield


def told(capsys: pytest.CaptureFixture[str], code: int, arguments: tuple[str, ...], places: dict[str, str]) -> str:
    """The error message for `arguments`."""
    for name, place in places.items():
        arguments = tuple(argument.replace(f"{{{name}}}", place) for argument in arguments)
    ended = cli.run(arguments)
    said = capsys.readouterr()
    assert (ended, said.out) == (code, ""), said.err
    assert said.err.startswith("llmstress: ")
    assert said.err.count("\n") == 1
    assert len(said.err) < 700
    return said.err


def name_of(case: object) -> str:
    return " ".join(case).encode("ascii", "replace").decode()[:80] if isinstance(case, tuple) else ""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the mock's sockets, in this process
@pytest.mark.parametrize(("arguments", "named"), USAGE, ids=name_of)
def test_wrong_usage(
    capsys: pytest.CaptureFixture[str], places: dict[str, str], arguments: tuple[str, ...], named: str
) -> None:
    assert named in told(capsys, 2, arguments, places)


@pytest.mark.parametrize(("arguments", "named"), NOT_STARTED + UNREACHABLE, ids=name_of)
def test_what_can_t_be_started(
    capsys: pytest.CaptureFixture[str], places: dict[str, str], arguments: tuple[str, ...], named: str
) -> None:
    assert named in told(capsys, 3, arguments, places)


@pytest.mark.parametrize("value", ["h:99999", "https://h:1", "socks5://h", "http://u:sk-secret@", "ü"])
def test_a_proxy_of_the_environment_that_is_none(
    capsys: pytest.CaptureFixture[str], places: dict[str, str], monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("http_proxy", value)
    said = told(capsys, 2, HTTP, places)
    assert "the environment's http_proxy" in said
    assert "sk-secret" not in said


def test_a_key_in_a_command_line_that_is_wrong_is_not_repeated(
    capsys: pytest.CaptureFixture[str], places: dict[str, str]
) -> None:
    body = '{"api_key": "sk-secret", }'
    for wrong in (("--header", "X sk-secret"), ("--header", "X: sk-secret\nY: 1"), ("--extra-body", body)):
        assert "sk-secret" not in told(capsys, 2, (*HTTP, *wrong), places)
    for url in ("http://u:sk-secret@h:x", "http://h:x/?token=sk-secret", "ftp://u:sk-secret@h"):
        assert "sk-secret" not in told(capsys, 2, ("--url", url), places)
        assert "sk-secret" not in told(capsys, 2, (*HTTP, "--proxy", url), places)


@pytest.mark.parametrize("path", ["none.pem", "{text}", "{damaged}"])
def test_a_certificate_of_the_mock_that_is_none_is_not_the_address_s_fault(
    capsys: pytest.CaptureFixture[str], places: dict[str, str], path: str
) -> None:
    said = told(capsys, 2, ("mock", "--port", "0", "--tls-cert", path), places)
    assert "--tls-cert" in said
    assert "--host" not in said
    assert "--port" not in said
    assert "listen" not in said


@pytest.mark.parametrize("sign", "/?#\\ ")
def test_a_password_with_signs_that_are_none_of_a_url_is_not_repeated(
    capsys: pytest.CaptureFixture[str], places: dict[str, str], monkeypatch: pytest.MonkeyPatch, sign: str
) -> None:
    url = f"http://user:pa{sign}ss-secret@proxy:3128"
    said = [told(capsys, 2, (*HTTP, "--proxy", url), places), told(capsys, 2, ("--url", url), places)]
    monkeypatch.setenv("https_proxy", url)
    said.append(told(capsys, 2, HTTPS, places))
    assert [flag in each for flag, each in zip(("--proxy", "--url", "https_proxy"), said, strict=True)] == [True] * 3
    assert not any("ss-secret" in each or "user" in each for each in said)
