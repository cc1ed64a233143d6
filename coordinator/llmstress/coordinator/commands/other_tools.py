"""Flags of other load testers, and what to use instead. Pure functions.

The flags are those of ab, wrk, hey, k6, Locust, curl, vLLM's benchmark_serving, GuideLLM, genai-perf, AIPerf and
llmperf.
"""

import difflib
from collections.abc import Collection, Mapping

_STREAMS = "use --total-streams N for all processes together, or --streams N for each process"
_RATE = "for a request rate, use --rate with a unit, e.g. --rate 50/s"
_DURATION = "use --duration with a unit, e.g. --duration 60s"
_DATA = "use --prompts FILE for prompts from a file, or --prompt-tokens N for made ones"
_TIMEOUT = "use --timeout-total, --timeout-first-token, --timeout-idle or --timeout-connect"
_BODY = "use --extra-body JSON to add to the request, or --body TEMPLATE with --api sse, text or http"

_ANSWERS: tuple[tuple[str, str], ...] = (
    (
        _STREAMS,
        "-c --concurrency --concurrent --concurrent-requests --num-concurrent-requests --max-concurrency --users "
        "--num-users --vus --clients --connections --max-connections --sessions --parallel --num-streams",
    ),
    (
        "use --requests N",
        "-n --num-prompts --num-requests --request-count --requests-count --max-requests --total-requests "
        "--max-num-completed-requests --iterations --number --num",
    ),
    (
        _RATE,
        "--rps --qps --request-rate --requests-per-second --arrival-rate --rate-type --rate-limit --target-rate",
    ),
    ("use --stage TIME:LOAD for each stage, e.g. --stage 30s:100 --stage 2m:50/s", "--stages --ramp-up-strategy"),
    ("use --think-time TIME, e.g. --think-time 1s..3s", "--think --pause --wait-time --sleep --delay"),
    (
        "use --ramp-up DURATION, the time over which all streams start",
        "--spawn-rate --hatch-rate --ramp --rampup --ramp-up-time --ramp-time --rampup-time",
    ),
    (_DURATION, "-z --run-time --runtime --time --max-seconds --benchmark-duration --test-duration --max-time"),
    (f"for a run time, {_DURATION}; for data, {_BODY}", "-d"),
    (f"for a run time, {_DURATION}; for threads, use --procs N; for a time limit, {_TIMEOUT}", "-t"),
    (f"for a spawn rate, use --ramp-up DURATION; {_RATE}", "-r -R"),
    (f"for no progress lines, use --quiet; {_RATE}", "-q"),
    (
        "use --procs N",
        "--threads --workers --num-workers --workers-max --worker-count --processes --num-processes --cpus --cores "
        "--jobs -j",
    ),
    (
        "use --url URL, or the URL alone, e.g. llmstress http://localhost:8000",
        "--host --base-url --api-base --openai-api-base --target --endpoint --server --server-url --address",
    ),
    ("put the port into the URL, e.g. --url http://localhost:8000", "--port"),
    (f"for a target, use --url URL; for users, {_STREAMS}", "-u"),
    ("use --header 'Name: value' for a header, or --url URL for a host", "-H"),
    ("use --model NAME", "-m --model-name --model-id --served-model-name"),
    (
        "use --api-key-env NAME with the name of the environment variable that holds the key",
        "--api-key --apikey --openai-api-key --token --auth-token --bearer --bearer-token",
    ),
    ("use --prompt TEXT, or --prompt @FILE", "-p --user-prompt --message"),
    ("use --prompts FILE with a prompt in each row, or --prompt @FILE for one prompt", "--prompt-file --prompts-file"),
    ("use --system TEXT, or --system @FILE", "--system-prompt --system-message"),
    (
        _DATA,
        "--data --dataset --dataset-name --dataset-path --public-dataset --custom-dataset --input-file "
        "--num-dataset-entries --conversation-num --session-num",
    ),
    (
        "use --prompt-tokens N, where N may be a distribution like 512±64",
        "--input-len --random-input-len --random-range-ratio --isl --input-tokens --synthetic-input-tokens-mean "
        "--synthetic-input-tokens-stddev --mean-input-tokens --stddev-input-tokens",
    ),
    (
        "use --turns N, e.g. --turns 2..10",
        "--num-turns --multi-turn --conversation-turn-mean --session-turns-mean --gsp-num-turns --max-turns",
    ),
    (
        "use --think-time TIME together with --turns, e.g. --think-time exp:10s",
        "--conversation-turn-delay-mean --session-turn-delay-mean",
    ),
    ("use --shared-prefix-tokens N together with --prompt-tokens", "--random-prefix-len --prefix-len"),
    (
        "use --output-tokens N, where N may be a distribution like 128±32, and --ignore-eos for exactly as many tokens "
        "where the server supports it",
        "--output-len --random-output-len --sharegpt-output-len --osl --output-tokens-mean "
        "--output-tokens-stddev --mean-output-tokens --stddev-output-tokens --max-new-tokens --max-output-tokens "
        "--max-completion-tokens --num-predict --tokens",
    ),
    (
        "no tokenizer is needed; tokens are counted as the server reports them",
        "--tokenizer-mode --processor --trust-remote-code",
    ),
    (
        "use --extra-body JSON, e.g. --extra-body '{\"temperature\": 0}'",
        "--temperature --top-p --top-k --min-p --n --stop --frequency-penalty --presence-penalty --repetition-penalty "
        "--logprobs --extra-inputs --extra-request-body --additional-sampling-params --sampling-params",
    ),
    (
        "use --api NAME",
        "--backend --backend-type --backend-kwargs --endpoint-type --llm-api --service-kind --api-type --provider "
        "--request-type",
    ),
    ("answers are streamed unless you give --no-stream", "--stream --streaming --enable-streaming"),
    (
        "use --output FILE for the JSON summary",
        "-o --out --outfile --output-file --output-path --output-dir --result-file --result-filename --result-dir "
        "--results-dir --save-result --save --summary-export --profile-export-file --artifact-dir --csv --html",
    ),
    (
        "the summary is JSON; it goes to stdout if that is no terminal, or to --output FILE",
        "--json --format --output-format --summary-format --export --report --report-format",
    ),
    (_BODY, "--body-file --data-raw --data-binary --payload -T -D"),
    ("use --method NAME with --api sse, text or http", "-X --request"),
    (_TIMEOUT, "--timeout --request-timeout --request-timeout-seconds --stop-timeout"),
    (
        "use --warmup DURATION, e.g. --warmup 10s",
        "--warm-up --warmups --warmup-time --warmup-duration --warmup-percent",
    ),
    (
        "all percentiles are in the summary",
        "--percentiles --percentile-metrics --metric-percentiles --latency --latencies",
    ),
    (
        "use --trace FILE",
        "--fixed-schedule --fixed-schedule-auto-offset --fixed-schedule-start-offset --fixed-schedule-end-offset",
    ),
    ("use --slo 'METRIC<LIMIT', e.g. --slo 'ttft<500ms'", "--goodput --slos --goodput-config-file"),
    ("use --fail-if 'ttft.p99>800ms'", "--threshold --thresholds --fail-on --assert --assertions"),
    ("use --abort-if 'errors.rate>10%'", "--abort-on-fail --abort-on --stop-on --max-error-rate --max-errors-rate"),
    ("use --junit FILE", "--junit-xml --junitxml --junit-output"),
    ("use --seed N", "--random-seed --rng-seed"),
    ("use --verbose or --log-file FILE", "-v --debug --log-level --loglevel"),
    ("use --quiet", "--silent --disable-tqdm --no-progress --no-progress-bar"),
    ("use --tui", "--ui --gui --web --web-ui"),
    ("use --headless", "--no-tui --no-ui --no-gui --no-web"),
    ("use --version", "-V"),
    ("use --proxy URL", "-x --http-proxy --https-proxy"),
    ("use --insecure", "-k --insecure-skip-tls-verify --tls-skip-verify --no-verify --no-verify-ssl --skip-tls-verify"),
    ("connections are kept open unless you give --no-keepalive", "--keepalive --keep-alive"),
    ("use --no-keepalive", "--disable-keepalive --disable-keep-alive --no-keep-alive --no-connection-reuse"),
    ("HTTP/2 is not supported yet", "--http2 --h2 --http3"),
    (
        "scripts are not supported; llmstress sends one kind of request, which --prompt and --extra-body describe",
        "-s --script -f --locustfile",
    ),
)
"""Advice, and the flags of other tools that get it."""

_LONGEST = 60
"""Characters of a flag that are compared with known flags."""

ANSWERS: Mapping[str, str] = {flag: answer for answer, flags in _ANSWERS for flag in flags.split()}
"""Flag of another tool -> what to use instead."""


def unknown_flag(
    flag: str, known: Collection[str], elsewhere: Mapping[str, str], answers: Mapping[str, str] = ANSWERS
) -> str:
    """The error message for a flag that a command doesn't have.

    Args:
        flag: the flag as given, without its value.
        known: the flags of the command.
        elsewhere: flags of other commands -> the name of that command.
        answers: flags of other tools -> what to use instead.
    """
    return f"unknown flag {flag}: {_advice(flag, known, elsewhere, answers)}"


def _advice(flag: str, known: Collection[str], elsewhere: Mapping[str, str], answers: Mapping[str, str]) -> str:
    meant = _normalized(flag)
    if meant in known:
        return f"did you mean {meant}?"
    for candidate in (flag, meant, *([flag[:2]] if _is_short(flag) else [])):
        if candidate in answers:
            return answers[candidate]
    if meant in elsewhere:
        return f"it is a flag of {elsewhere[meant]}"
    near = difflib.get_close_matches(
        meant[:_LONGEST], [*known, *(name for name in answers if len(name) > 2)], n=1, cutoff=0.7
    )
    if not near:
        return "--help lists all flags"
    return f"did you mean {near[0]}?" if near[0] in known else f"if you mean {near[0]}, {answers[near[0]]}"


def _normalized(flag: str) -> str:
    """`--max-tokens` for `--max_tokens`, `-max-tokens` and `--Max-Tokens`; a short flag is returned as it is."""
    name = flag.lstrip("-")
    return flag if len(name) < 2 or _is_short(flag) else f"--{name.lower().replace('_', '-')}"


def _is_short(flag: str) -> bool:
    """Whether the flag is a single letter, possibly with a number (`-c10`)."""
    return len(flag) > 1 and flag[0] == "-" != flag[1] and (len(flag) == 2 or flag[2].isdigit())
