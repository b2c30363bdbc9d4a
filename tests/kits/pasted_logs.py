"""Error texts that people paste when a download fails, in the form in which each library or program prints them.

`codes` are the right answers without a call; the first one is the best. `is_certain` is what the text alone allows to say.
"""

from __future__ import annotations

from typing import Final, NamedTuple

HUB: Final = "https://huggingface.co"
_ID: Final = "(Request ID: Root=1-68f0c0de-1b2c3d4e5f60718293a4b5c6;0a1b2c3d)"
_ASK: Final = (
    "is restricted and you are not in the authorized list. Visit https://huggingface.co/{0} to ask for access."
)
_LOG_IN: Final = "is restricted. You must have access to it and be authenticated to access it. Please log in."
_FINE_GRAINED: Final = (
    "Please enable access to public gated repositories in your fine-grained token settings to view this repository."
)
_CAUSED: Final = "\n\nThe above exception was the direct cause of the following exception:\n\n"
_HANDLED: Final = "\n\nDuring handling of the above exception, another exception occurred:\n\n"
_OFFLINE_HELP: Final = (
    "Check your internet connection or see how to run the library in offline mode at "
    "'https://huggingface.co/docs/transformers/installation#offline-mode'."
)


class PastedLog(NamedTuple):
    """A text, and what it says by itself."""

    name: str
    text: str
    codes: tuple[str, ...]
    repo: str | None
    is_certain: bool


def gated(repo: str, status: int, words: str, *, host: str = HUB, file: str = "config.json") -> str:
    """Return the last lines of a GatedRepoError."""
    return (
        f"huggingface_hub.errors.GatedRepoError: {status} Client Error. {_ID}\n\n"
        f"Cannot access gated repo for url {host}/{repo}/resolve/main/{file}.\n{words}"
    )


def forbidden(url: str, words: str) -> str:
    """Return the last lines of the error for a 403 without a code."""
    return (
        f"huggingface_hub.errors.HfHubHTTPError: {_ID}\n\n403 Forbidden: {words}.\nCannot access content at: {url}.\n"
        "Make sure your token has the correct permissions."
    )


def not_found(url: str, status: int, words: str) -> str:
    """Return the last lines of a RepositoryNotFoundError."""
    return (
        f"huggingface_hub.errors.RepositoryNotFoundError: {status} Client Error. {_ID}\n\n"
        f"Repository Not Found for url: {url}.\nPlease make sure you specified the correct `repo_id` and `repo_type`.\n"
        "If you are trying to access a private or gated repo, make sure you are authenticated and your token has the "
        f"required permissions.\nFor more details, see {HUB}/docs/huggingface_hub/authentication\n{words}"
    )


LLAMA, GEMMA = "meta-llama/Llama-3.2-1B", "google/gemma-2-2b-it"
PYANNOTE = """
Could not download '{0}' {1}.
It might be because the {1} is private or gated so make
sure to authenticate. Visit https://hf.co/settings/tokens to
create your access token and retry with:

   >>> Pipeline.from_pretrained('{0}',
   ...                          use_auth_token=YOUR_AUTH_TOKEN)

If this still does not work, it might be because the {1} is gated:
visit https://hf.co/{0} to accept the user conditions.
"""
NONE_TYPE = """Traceback (most recent call last):
  File "/app/run.py", line 9, in <module>
    pipeline.to(torch.device("cuda"))
AttributeError: 'NoneType' object has no attribute 'to'
"""

LOGS: Final = (
    PastedLog(
        "transformers says gated, anonymous",
        gated(LLAMA, 401, f"Access to model {LLAMA} {_LOG_IN}") + _CAUSED
        + f"OSError: You are trying to access a gated repo.\nMake sure to have access to it at {HUB}/{LLAMA}.\n"
        + gated(LLAMA, 401, f"Access to model {LLAMA} {_LOG_IN}").partition(": ")[2],
        ("no_token",), LLAMA, False,
    ),
    PastedLog(
        "transformers says gated, not asked",
        f"OSError: You are trying to access a gated repo.\nMake sure to have access to it at {HUB}/{GEMMA}.\n"
        f"403 Client Error. {_ID}\n\nCannot access gated repo for url {HUB}/{GEMMA}/resolve/main/config.json.\n"
        f"Access to model {GEMMA} {_ASK.format(GEMMA)}",
        ("not_asked",), GEMMA, True,
    ),
    PastedLog(
        "transformers says gated, the rest is cut off",
        f"OSError: You are trying to access a gated repo.\nMake sure to have access to it at {HUB}/{GEMMA}.",
        ("refused_unknown", "no_token"), GEMMA, False,
    ),
    PastedLog(
        "transformers does not know the name",
        f"OSError: {LLAMA}-Instructt is not a local folder and is not a valid model identifier listed on "
        f"'{HUB}/models'\nIf this is a private repository, make sure to pass a token having permission to this repo "
        "either by logging in with `hf auth login` or by passing `token=<your_token>`",
        ("not_found_or_private",), f"{LLAMA}-Instructt", False,
    ),
    PastedLog(
        "transformers could not connect, and nothing else",
        f"OSError: We couldn't connect to '{HUB}' to load the files, and couldn't find them in the cached files.\n"
        + _OFFLINE_HELP,
        ("refused_unknown", "network"), None, False,
    ),
    PastedLog(
        "transformers could not connect because of a fine-grained token",
        forbidden(f"{HUB}/google/paligemma-3b-pt-224/resolve/main/tokenizer.json", _FINE_GRAINED) + _CAUSED
        + "huggingface_hub.errors.LocalEntryNotFoundError: An error happened while trying to locate the file on the Hub and "
        "we cannot find the requested files in the local cache. Please check your connection and try again." + _CAUSED
        + f"OSError: We couldn't connect to '{HUB}' to load the files, and couldn't find them in the cached files.\n"
        + _OFFLINE_HELP,
        ("token_no_gated_permission",), "google/paligemma-3b-pt-224", True,
    ),
    PastedLog(
        "only the last error, which speaks of the connection",
        "huggingface_hub.errors.LocalEntryNotFoundError: An error happened while trying to locate the file on the Hub and we "
        "cannot find the requested files in the local cache. Please check your connection and try again or make sure your "
        "Internet connection is on.",
        ("refused_unknown", "network"), None, False,
    ),
    PastedLog(
        "transformers finds no weights",
        f"OSError: {GEMMA} does not appear to have a file named pytorch_model.bin, model.safetensors, tf_model.h5 or "
        f"flax_model.msgpack. Checkout '{HUB}/{GEMMA}/tree/main' for available files.",
        ("not_found_or_private",), GEMMA, True,
    ),
    PastedLog(
        "diffusers has a connection error that is a refusal",
        f"OSError: There was a specific connection error when trying to load black-forest-labs/FLUX.1-dev:\n"
        f"403 Client Error. {_ID}\n\nCannot access gated repo for url "
        f"{HUB}/black-forest-labs/FLUX.1-dev/resolve/main/model_index.json.\n"
        "Your request to access model black-forest-labs/FLUX.1-dev is awaiting a review from the repo authors.",
        ("pending",), "black-forest-labs/FLUX.1-dev", True,
    ),
    PastedLog(
        "vLLM in Docker, with the name of its process before each line",
        "\n".join(
            f"(EngineCore_DP0 pid=71) {line}" for line in gated(LLAMA, 401, f"Access to model {LLAMA} {_LOG_IN}").split("\n")
        ),
        ("no_token",), LLAMA, False,
    ),
    PastedLog(
        "text-generation-inference in Kubernetes, as JSON",
        '{"timestamp":"2026-02-01T10:00:00.1Z","level":"ERROR","fields":{"message":"Download encountered an error: \\n'
        f"Traceback (most recent call last):\\n\\nhuggingface_hub.errors.GatedRepoError: 403 Client Error. {_ID}\\n\\n"
        f"Cannot access gated repo for url {HUB}/api/models/mistralai/Mistral-7B-Instruct-v0.3.\\nAccess to model "
        f'mistralai/Mistral-7B-Instruct-v0.3 {_ASK.format("mistralai/Mistral-7B-Instruct-v0.3")}\\n"}},"target":"launcher"}}',
        ("not_asked",), "mistralai/Mistral-7B-Instruct-v0.3", True,
    ),
    PastedLog(
        "text-embeddings-inference, a bare 401",
        "Error: Could not download model artifacts\n\nCaused by:\n    0: request error: HTTP status client error (401 "
        f"Unauthorized) for url ({HUB}/google/embeddinggemma-300m/resolve/main/config.json)",
        ("no_token",), "google/embeddinggemma-300m", False,
    ),
    PastedLog(
        "hf-hub in Rust, a bare 403",
        f"Error: RequestError(Status(403, Response[status: 403, status_text: Forbidden, url: {HUB}/google/gemma-2b/resolve/"
        "main/tokenizer.json]))",
        ("refused_unknown",), "google/gemma-2b", False,
    ),
    PastedLog(
        "candle, the status after the URL",
        f"Error: request error: {HUB}/google/gemma-2b/resolve/main/config.json: status code 401",
        ("no_token",), "google/gemma-2b", False,
    ),
    PastedLog(
        "llama.cpp asks for the manifest",
        'common_get_hf_file: error from HF API, response code: 401, data: {"error":"Invalid username or password."}\n'
        f"failed to fetch {HUB}/v2/google/gemma-3-4b-it-qat-q4_0-gguf/manifests/latest",
        ("not_found_or_private", "no_token"), "google/gemma-3-4b-it-qat-q4_0-gguf", False,
    ),
    PastedLog(
        "Ollama pulls from the Hub",
        'Error: pull model manifest: 401: {"error":"Invalid username or password."}',
        ("not_found_or_private", "no_token"), None, False,
    ),
    PastedLog(
        "datasets, anonymous",
        "datasets.exceptions.DatasetNotFoundError: Dataset 'mozilla-foundation/common_voice_17_0' is a gated dataset on the "
        "Hub. You must be authenticated to access it.",
        ("no_token",), "datasets/mozilla-foundation/common_voice_17_0", False,
    ),
    PastedLog(
        "datasets, refused with an account",
        "datasets.exceptions.DatasetNotFoundError: Dataset 'ILSVRC/imagenet-1k' is a gated dataset on the Hub. Visit the "
        f"dataset page at {HUB}/datasets/ILSVRC/imagenet-1k to ask for access.",
        ("refused_unknown", "not_asked"), "datasets/ILSVRC/imagenet-1k", False,
    ),
    PastedLog(
        "datasets does not know the name",
        "datasets.exceptions.DatasetNotFoundError: Dataset 'acme/eegg' doesn't exist on the Hub or cannot be accessed.",
        ("not_found_or_private",), "datasets/acme/eegg", False,
    ),
    PastedLog(
        "datasets could not reach the Hub",
        f"ConnectionError: Couldn't reach {HUB}/datasets/acme/eeg/resolve/main/eeg.py (ConnectTimeout(MaxRetryError("
        "'HTTPSConnectionPool(host=huggingface.co, port=443): Max retries exceeded')))",
        ("network",), "datasets/acme/eeg", True,
    ),
    PastedLog(
        "datasets, an error 403",
        f"ConnectionError: Couldn't reach {HUB}/datasets/acme/eeg/resolve/main/eeg.py (error 403)",
        ("refused_unknown",), "datasets/acme/eeg", False,
    ),
    PastedLog(
        "pyannote returns nothing",
        PYANNOTE.format("pyannote/speaker-diarization-3.1", "pipeline") + NONE_TYPE,
        ("refused_unknown", "no_token", "not_found_or_private"), "pyannote/speaker-diarization-3.1", False,
    ),
    PastedLog(
        "pyannote opens the pipeline, and not the model in it",
        "INFO loaded pyannote/speaker-diarization-3.1\n" + PYANNOTE.format("pyannote/segmentation-3.0", "model") + NONE_TYPE,
        ("refused_unknown", "no_token", "not_found_or_private"), "pyannote/segmentation-3.0", False,
    ),
    PastedLog("only the error of nothing", NONE_TYPE, ("refused_unknown",), None, False),
    PastedLog(
        "an adapter whose base model is refused",
        f"GET {HUB}/mia/my-adapter/resolve/main/adapter_config.json 200\n"
        + gated("meta-llama/Llama-2-7b-hf", 403, f"Access to model meta-llama/Llama-2-7b-hf {_ASK.format('meta-llama/Llama-2-7b-hf')}")
        + "\n  File \"train.py\", line 3, in <module>\n    PeftModel.from_pretrained(base, 'mia/my-adapter')",
        ("not_asked",), "meta-llama/Llama-2-7b-hf", True,
    ),
    PastedLog(
        "git is refused",
        "Cloning into 'Llama-3.2-1B'...\n"
        f"remote: Access to model {LLAMA} {_ASK.format(LLAMA)}\n"
        f"fatal: unable to access '{HUB}/{LLAMA}/': The requested URL returned error: 403",
        ("not_asked",), LLAMA, True,
    ),
    PastedLog(
        "git sends a password",
        "remote: Password authentication in git is no longer supported. You must use a user access token or an SSH key "
        f"instead. See {HUB}/blog/password-git-deprecation\nfatal: Authentication failed for '{HUB}/{LLAMA}/'",
        ("library_sent_no_token",), LLAMA, False,
    ),
    PastedLog(
        "git lfs has no token",
        "Downloading model.safetensors (2.5 GB)\nError downloading object: model.safetensors (9a3f1c2): Smudge error: Error "
        f"downloading model.safetensors: batch response: Access to model {LLAMA} {_LOG_IN}\n\nErrors logged to "
        f"'Llama/.git/lfs/logs/1.log'.\nerror: external filter 'git-lfs filter-process' failed\n"
        f"fatal: could not fetch from '{HUB}/{LLAMA}.git/info/lfs'",
        ("no_token",), LLAMA, False,
    ),
    PastedLog(
        "wget without a header",
        f"--2026-01-01 10:00:00--  {HUB}/black-forest-labs/FLUX.1-dev/resolve/main/flux1-dev.safetensors\n"
        "Resolving huggingface.co (huggingface.co)... 3.163.189.37\nHTTP request sent, awaiting response... 401 Unauthorized\n\n"
        "Username/Password Authentication Failed.",
        ("no_token", "token_invalid"), "black-forest-labs/FLUX.1-dev", False,
    ),
    PastedLog(
        "curl shows the JSON of the Hub",
        f'$ curl -L {HUB}/api/models/{LLAMA}/auth-check\n{{"error":"Your request to access model {LLAMA} has been rejected by '
        "the repo's authors.\"}",
        ("rejected",), LLAMA, True,
    ),
    PastedLog(
        "curl asks the old whoami",
        f"$ curl -H 'Authorization: Bearer hf_local_canary_token' {HUB}/api/whoami\n"
        '{"error":"Invalid credentials in Authorization header"}',
        ("token_invalid",), None, False,
    ),
    PastedLog(
        "Colab does not give the secret",
        "UserWarning: \nError while fetching `HF_TOKEN` secret value from your vault: 'Requesting secret HF_TOKEN timed out. "
        "Secrets can only be fetched when running from the Colab UI.'.\nYou are not authenticated with the Hugging Face Hub in "
        "this notebook.\nIf the error persists, please let us know by opening an issue on GitHub "
        "(https://github.com/huggingface/huggingface_hub/issues/new).",
        ("no_token",), None, False,
    ),
    PastedLog(
        "a job of a fork in the CI",
        "\n".join(
            f"2026-03-03T12:00:00.1234567Z {line}"
            for line in gated("google/embeddinggemma-300m", 401, f"Access to model google/embeddinggemma-300m {_LOG_IN}").split("\n")
        ) + "\n2026-03-03T12:00:01.0Z ##[error]Process completed with exit code 1.",
        ("no_token",), "google/embeddinggemma-300m", False,
    ),
    PastedLog(
        "a proxy asks for a password",
        "requests.exceptions.ProxyError: (MaxRetryError(\"HTTPSConnectionPool(host='huggingface.co', port=443): Max retries "
        f"exceeded with url: /{LLAMA}/resolve/main/config.json (Caused by ProxyError('Unable to connect to proxy', "
        "OSError('Tunnel connection failed: 407 Proxy Authentication Required')))\"), '(Request ID: 1)')",
        ("network",), LLAMA, True,
    ),
    PastedLog(
        "a proxy does not let the program through",
        "httpx.ProxyError: 403 Forbidden\n" + _CAUSED + "huggingface_hub.errors.LocalEntryNotFoundError: An error happened while "
        "trying to locate the file on the Hub and we cannot find the requested files in the local cache.",
        ("network",), None, True,
    ),
    PastedLog(
        "a company reads the traffic",
        "httpx.ConnectError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate in certificate "
        "chain (_ssl.c:1010)",
        ("network",), None, True,
    ),
    PastedLog(
        "no name server",
        "curl: (6) Could not resolve host: huggingface.co", ("network",), None, True,
    ),
    PastedLog(
        "a name server that fails for a moment",
        "httpx.ConnectError: [Errno -3] Temporary failure in name resolution", ("network",), None, True,
    ),
    PastedLog(
        "too slow",
        "requests.exceptions.ReadTimeout: (ReadTimeoutError(\"HTTPSConnectionPool(host='huggingface.co', port=443): Read timed "
        "out. (read timeout=10)\"), '(Request ID: 1)')",
        ("network", "hub_unavailable"), None, True,
    ),
    PastedLog(
        "something else answers in place of the Hub",
        "huggingface_hub.errors.FileMetadataError: Distant resource does not seem to be on huggingface.co. It is possible that a "
        "configuration issue prevents you from downloading resources from https://huggingface.co. Please check your firewall and "
        "proxy settings and make sure your SSL certificates are updated." + _CAUSED
        + "huggingface_hub.errors.LocalEntryNotFoundError: An error happened while trying to locate the file on the Hub.",
        ("endpoint_not_hub", "network"), None, True,
    ),
    PastedLog(
        "xet refuses",
        f"downloading {HUB}/{LLAMA}/resolve/main/model.safetensors\nRuntimeError: Data processing error: CAS service error : "
        "Reqwest Error: HTTP status client error (403 Forbidden), domain: "
        "https://cas-server.xethub.hf.co/v1/reconstructions/0f1e2d3c4b5a69788796a5b4c3d2e1f0",
        ("storage",), LLAMA, True,
    ),
    PastedLog(
        "the storage says that a signature is wrong",
        "huggingface_hub.errors.HfHubHTTPError: 403 Client Error: Forbidden for url: https://cdn-lfs-us-1.hf.co/repos/4d/4e/"
        f"4d4ee7b8?response-content-disposition=inline&Expires=1 {_ID}",
        ("storage",), None, True,
    ),
    PastedLog(
        "too many requests",
        f"huggingface_hub.errors.HfHubHTTPError: {_ID}\n\n429 Too Many Requests: you have reached your 'resolvers' rate limit.\n"
        f"Retry after 212 seconds (0/3000 requests remaining in current 300s window).\nUrl: {HUB}/{LLAMA}/resolve/main/a.json.",
        ("hub_unavailable",), LLAMA, True,
    ),
    PastedLog(
        "the Hub fails",
        f"requests.exceptions.HTTPError: 503 Server Error: Service Temporarily Unavailable for url: {HUB}/api/models/{LLAMA}",
        ("hub_unavailable",), LLAMA, True,
    ),
    PastedLog(
        "a misspelt name, anonymous",
        not_found(f"{HUB}/api/models/meta-llama/Lama-3.2-1B", 401, "Invalid username or password."),
        ("not_found_or_private",), "meta-llama/Lama-3.2-1B", False,
    ),
    PastedLog(
        "a misspelt name, with a token",
        not_found(f"{HUB}/meta-llama/Lama-3.2-1B/resolve/main/config.json", 404, ""),
        ("not_found_or_private",), "meta-llama/Lama-3.2-1B", False,
    ),
    PastedLog(
        "the name is None",
        not_found(f"{HUB}/None/resolve/main/config.json", 401, "Invalid username or password."),
        ("not_found_or_private",), None, False,
    ),
    PastedLog(
        "a dataset is loaded as a model",
        not_found(f"{HUB}/api/models/mozilla-foundation/common_voice_17_0/revision/main", 404, ""),
        ("not_found_or_private",), "mozilla-foundation/common_voice_17_0", False,
    ),
    PastedLog(
        "a revision that is not there",
        f"huggingface_hub.errors.RevisionNotFoundError: 404 Client Error. {_ID}\n\nRevision Not Found for url: "
        f"{HUB}/{LLAMA}/resolve/v9/config.json.\nInvalid rev id: v9",
        ("not_found_or_private",), LLAMA, True,
    ),
    PastedLog(
        "a file that is not there",
        f"huggingface_hub.errors.RemoteEntryNotFoundError: 404 Client Error. {_ID}\n\nEntry Not Found for url: "
        f"{HUB}/{LLAMA}/resolve/main/model.bin.",
        ("not_found_or_private",), LLAMA, True,
    ),
    PastedLog(
        "a token with a line break, requests",
        "requests.exceptions.InvalidHeader: Invalid leading whitespace, reserved character(s), or return character(s) in header "
        "value: 'Bearer hf_local_canary_token\\n'",
        ("token_malformed",), None, True,
    ),
    PastedLog(
        "a token that is a text with an ellipsis",
        "UnicodeEncodeError: 'ascii' codec can't encode character '\\u2026' in position 10: ordinal not in range(128)\n"
        '  File "/usr/lib/python3/site-packages/httpx/_models.py", line 82, in _normalize_header_value\n'
        '    headers = {"authorization": f"Bearer {token}"}',
        ("token_malformed", "refused_unknown"), None, False,
    ),
    PastedLog(
        "an expired token",
        f"huggingface_hub.errors.HfHubHTTPError: 401 Client Error: Unauthorized for url: {HUB}/api/whoami-v2 {_ID}\n"
        'User Access Token "laptop 2025" is expired',
        ("token_expired",), None, True,
    ),
    PastedLog(
        "no token where one is demanded",
        "huggingface_hub.errors.LocalTokenNotFoundError: Token is required (`token=True`), but no token found. You need to provide "
        "a token or be logged in to Hugging Face with `hf auth login` or `huggingface_hub.login`.",
        ("no_token",), None, True,
    ),
    PastedLog("hf says that nobody is logged in", "Error: Not logged in. Run 'hf auth login' first.", ("no_token",), None, True),
    PastedLog(
        "hf download is denied", f"Error: Access denied. Model '{LLAMA}' requires approval.",
        ("refused_unknown", "not_asked"), LLAMA, False,
    ),
    PastedLog(
        "hf download does not find it",
        "Error: Dataset 'acme/eegg' not found.\nIf the repo is private, make sure you are authenticated and your token has the "
        "required permissions.\nIf the repo does not exist, create it with: hf repos create acme/eegg --type dataset",
        ("not_found_or_private",), "datasets/acme/eegg", False,
    ),
    PastedLog(
        "local files only",
        "huggingface_hub.errors.LocalEntryNotFoundError: Cannot find an appropriate cached snapshot folder for the specified "
        "revision on the local disk and outgoing traffic has been disabled. To enable repo look-ups and downloads online, pass "
        "'local_files_only=False' as input.",
        ("offline",), None, True,
    ),
    PastedLog(
        "Rich draws a frame and breaks lines",
        "╭─────────────── Traceback (most recent call last) ───────────────╮\n"
        "│ huggingface_hub.errors.GatedRepoError: 403 Client Error.        │\n"
        f"│ Cannot access gated repo for url                                │\n│ {HUB}/{GEMMA}/resolve/main/co │\n"
        f"│ nfig.json. Access to model {GEMMA} is restricted  │\n│ and you are not in the       │\n│ authorized list. Visit it.     │\n"
        "╰─────────────────────────────────────────────────────────────────╯",
        ("not_asked",), GEMMA, True,
    ),
    PastedLog(
        "colours and Windows paths",
        '\x1b[31mTraceback\x1b[0m (most recent call last):\n  File "C:\\Users\\mia\\AppData\\Local\\Programs\\Python\\x.py", line 1\n'
        "    model = load('C:/models/llama')\n\x1b[1;31mGatedRepoError\x1b[0m: 403 Client Error.\n"
        f"Cannot access gated repo for url \x1b[4m{HUB}/{LLAMA}/resolve/main/config.json\x1b[0m.\n"
        f"Your request to access model {LLAMA} has been \x1b[1mrejected\x1b[0m by the repo's authors.",
        ("rejected",), LLAMA, True,
    ),
    PastedLog(
        "the mirror says that nobody is logged in",
        gated(LLAMA, 401, f"Access to model {LLAMA} {_LOG_IN}", host="https://hf-mirror.com"),
        ("no_token", "endpoint_drops_token"), LLAMA, False,
    ),
    PastedLog(
        "Artifactory refuses",
        "huggingface_hub.errors.HfHubHTTPError: 401 Client Error:  for url: https://repo.acme.example/artifactory/api/"
        f"huggingfaceml/hf-remote/{LLAMA}/resolve/main/config.json {_ID}",
        ("no_token", "endpoint_drops_token"), LLAMA, False,
    ),
    PastedLog(
        "inference is refused",
        "huggingface_hub.errors.HfHubHTTPError: 403 Client Error: Forbidden for url: https://router.huggingface.co/hf-inference/"
        f"models/{LLAMA}/v1/chat/completions {_ID}\nThis authentication method does not have sufficient permissions to call "
        "Inference Providers on behalf of user mia",
        ("token_no_inference_permission",), LLAMA, True,
    ),
    PastedLog(
        "the rights to create a repo",
        f"huggingface_hub.errors.HfHubHTTPError: 403 Client Error: Forbidden for url: {HUB}/api/repos/create {_ID}\n\nYou don't "
        'have the rights to create a model under the namespace "acme"',
        ("refused_unknown",), None, False,
    ),
    PastedLog(
        "the organisation has not approved the token",
        forbidden(f"{HUB}/api/models/acme/med-7b/revision/main", "Due to the organization token policy, your token needs to be "
                  "approved by the organization before you can access this resource."),
        ("token_org_policy",), "acme/med-7b", True,
    ),
    PastedLog(
        "one repo is pending, and then another file is missing elsewhere",
        gated(LLAMA, 403, f"Your request to access model {LLAMA} is awaiting a review from the repo authors.") + _HANDLED
        + f"huggingface_hub.errors.RemoteEntryNotFoundError: 404 Client Error. {_ID}\n\nEntry Not Found for url: "
        f"{HUB}/mia/my-adapter/resolve/main/tokenizer.json.",
        ("pending",), LLAMA, True,
    ),
    PastedLog(
        "a missing optional file, and then a refusal",
        f"httpx.HTTPStatusError: Client error '404 Not Found' for url '{HUB}/{GEMMA}/resolve/main/adapter_config.json'\n"
        + gated(LLAMA, 403, f"Access to model {LLAMA} {_ASK.format(LLAMA)}"),
        ("not_asked",), LLAMA, True,
    ),
    PastedLog(
        "links that are no repos",
        f"See {HUB}/docs/hub/models-gated and {HUB}/settings/gated-repos or https://discuss.huggingface.co/t/gated/123 and "
        f"https://github.com/user-attachments/assets/1 and {HUB}/acme/other/discussions/4\n"
        f"You are not in the authorized list.",
        ("not_asked",), None, True,
    ),
    PastedLog(
        "the sentence of the page", "Your request to access this repo has been rejected by the repo's authors.",
        ("rejected",), None, True,
    ),
    PastedLog(
        "the page before somebody asks",
        "You need to agree to share your contact information to access this model\nThis repository is publicly accessible, but "
        "you have to accept the conditions to access its files and content.",
        ("not_asked",), None, False,
    ),
    PastedLog(
        "the page after somebody asked", "Gated model. Your request to access this repo has been successfully submitted, and is pending a "
        "review from the repo's authors.",
        ("pending",), None, True,
    ),
)  # fmt: skip

# Further programs, in one line each.
LOGS_OF_OTHERS: Final = (
    PastedLog("urllib says the status only", "urllib.error.HTTPError: HTTP Error 401: Unauthorized", ("no_token",), None, False),
    PastedLog("aria2", "[ERROR] CUID#7 - Download aborted. URI=https://huggingface.co/meta-llama/Llama-3.2-1B/resolve/main/model.safetensors\nException: [AbstractCommand.cc:351] errorCode=24 URI=https://huggingface.co/meta-llama/Llama-3.2-1B/resolve/main/model.safetensors -> Authorization failed.", ("no_token",), "meta-llama/Llama-3.2-1B", False),
    PastedLog("Go does not trust the certificate", 'Error: pull model manifest: Get "https://huggingface.co/v2/meta-llama/Llama-3.2-1B-GGUF/manifests/latest": tls: failed to verify certificate: x509: certificate signed by unknown authority', ("network",), "meta-llama/Llama-3.2-1B-GGUF", True),
    PastedLog("transformers.js, 401", 'Error: Unauthorized access to file: "https://huggingface.co/meta-llama/Llama-3.2-1B/resolve/main/tokenizer.json".', ("no_token",), "meta-llama/Llama-3.2-1B", False),
    PastedLog("transformers.js, 403", 'Error: Forbidden access to file: "https://huggingface.co/meta-llama/Llama-3.2-1B/resolve/main/tokenizer.json".', ("refused_unknown",), "meta-llama/Llama-3.2-1B", False),
    PastedLog("Node finds no name server", "TypeError: fetch failed\n  cause: Error: getaddrinfo ENOTFOUND huggingface.co", ("network",), None, True),
    PastedLog("hf-hub 1.0 in Rust", 'ApiError(RequestError(reqwest::Error { kind: Status(403), url: "https://huggingface.co/meta-llama/Llama-3.2-1B/resolve/main/config.json" }))', ("refused_unknown",), "meta-llama/Llama-3.2-1B", False),
    PastedLog("the login refuses the token", "ValueError: Invalid token passed!", ("token_invalid",), None, False),
    PastedLog("hf auth whoami", "Not logged in", ("no_token",), None, False),
    PastedLog("git may not ask for a name", "fatal: could not read Username for 'https://huggingface.co': terminal prompts disabled", ("library_sent_no_token",), None, False),
    PastedLog("git over SSH", "git@hf.co: Permission denied (publickey).\nfatal: Could not read from remote repository.", ("library_sent_no_token",), None, False),
    PastedLog("git does not find the repo", "remote: Repository not found\nfatal: repository 'https://huggingface.co/acme/x/' not found", ("not_found_or_private",), "acme/x", False),
    PastedLog("urllib3 has no connection", "MaxRetryError: HTTPSConnectionPool(host='huggingface.co', port=443): Max retries exceeded with url: /api/models/meta-llama/Llama-3.2-1B (Caused by NewConnectionError('<urllib3.connection.HTTPSConnection object at 0x7f>: Failed to establish a new connection: [Errno 110] Connection timed out'))", ("network",), "meta-llama/Llama-3.2-1B", True),
    PastedLog("xet gets no token for the storage", "RuntimeError: Data processing error: CAS service error : ReqwestMiddleware Error: Token refresh failed: HTTP status client error (401 Unauthorized) for url (https://huggingface.co/api/models/meta-llama/Llama-3.2-1B/xet-read-token/0a1b)", ("no_token",), "meta-llama/Llama-3.2-1B", False),
    PastedLog("a quotation in an e-mail", "> GatedRepoError: 403 Client Error.\n> Access to model meta-llama/Llama-3.2-1B is restricted and you are not in the\n> authorized list. Visit https://huggingface.co/meta-llama/Llama-3.2-1B to ask for access.", ("not_asked",), "meta-llama/Llama-3.2-1B", True),
    PastedLog("Kaggle has no secret", "BackendError: Unexpected response from the service. Response: {'errors': ['No user secrets exist for kernel id 5 and label HF_TOKEN.']}.", ("no_token",), None, False),
    PastedLog("LangChain reads another variable", "Did not find huggingfacehub_api_token, please add an environment variable `HUGGINGFACEHUB_API_TOKEN` which contains it", ("no_token",), None, False),
    PastedLog("inference does not accept the token", '{"error":"Authorization header is correct, but the token seems invalid"}', ("token_invalid",), None, False),
    PastedLog("a path in place of a name", "huggingface_hub.errors.HFValidationError: Repo id must be in the form 'repo_name' or 'namespace/repo_name': '/data/models/llama'. Use `repo_type` argument if needed.", ("not_found_or_private",), None, True),
    PastedLog("curl, refused by a proxy", "curl: (56) CONNECT tunnel failed, response 403", ("network",), None, True),
    PastedLog("curl, a proxy asks for a password", "curl: (56) Received HTTP code 407 from proxy after CONNECT", ("network",), None, True),
    PastedLog("curl does not trust the certificate", "curl: (60) SSL certificate problem: unable to get local issuer certificate", ("network",), None, True),
    PastedLog("git does not trust the certificate", "fatal: unable to access 'https://huggingface.co/meta-llama/Llama-3.2-1B/': SSL certificate problem: self signed certificate in certificate chain", ("network",), "meta-llama/Llama-3.2-1B", True),
    PastedLog("a page of a company in place of JSON", "json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)\n<!DOCTYPE html><title>Zscaler: Access Denied</title>", ("endpoint_not_hub",), None, False),
    PastedLog("an address of the storage that is too old", "403 Client Error: Forbidden for url: https://cdn-lfs.hf.co/repos/1/2?X-Amz=1\n<Error><Code>AccessDenied</Code><Message>Request has expired</Message>", ("storage",), None, True),
    PastedLog("a wrong signature for the storage", "<Error><Code>SignatureDoesNotMatch</Code><Message>The request signature we calculated does not match</Message></Error> status 403", ("storage",), None, True),
    PastedLog("too many calls without an account", "429 Client Error: Too Many Requests for url: https://huggingface.co/api/models/a/b\nWe had to rate limit your IP (1.2.3.4). To continue using our service, create a HF account or login", ("hub_unavailable",), "a/b", True),
    PastedLog("a 403 without words", "huggingface_hub.errors.HfHubHTTPError: (Request ID: x)\n\n403 Forbidden: None.\nCannot access content at: https://huggingface.co/api/models/meta-llama/Llama-3.2-1B/revision/main.\nMake sure your token has the correct permissions.", ("refused_unknown",), "meta-llama/Llama-3.2-1B", False),
    PastedLog("datasets is offline", "ConnectionError: Couldn't reach 'acme/eeg' on the Hub (OfflineModeIsEnabled)", ("offline",), "datasets/acme/eeg", True),
    PastedLog("datasets does not trust the certificate", "ConnectionError: Couldn't reach 'acme/eeg' on the Hub (SSLError)", ("network",), "datasets/acme/eeg", True),
    PastedLog("datasets hides the reason", "ConnectionError: Couldn't reach 'acme/eeg' on the Hub (LocalEntryNotFoundError)", ("refused_unknown",), "datasets/acme/eeg", False),
    PastedLog("datasets shows the words of the Hub", "datasets.exceptions.DatasetNotFoundError: Dataset 'bigcode/the-stack' is a gated dataset on the Hub. Visit the dataset page at https://huggingface.co/datasets/bigcode/the-stack to ask for access.\n 403 Client Error. Access to dataset bigcode/the-stack is restricted and you are not in the authorized list. Visit https://huggingface.co/datasets/bigcode/the-stack to ask for access.", ("not_asked",), "datasets/bigcode/the-stack", True),
    PastedLog("a config without a type", "ValueError: Unrecognized model in acme/x. Should have a `model_type` key in its config.json", ("refused_unknown",), None, False),
    PastedLog("no memory", "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 404.00 MiB. See https://huggingface.co/docs/x/y", ("refused_unknown",), None, False),
    PastedLog("a folder of another user", "PermissionError: [Errno 13] Permission denied: '/srv/cache/huggingface/hub/models--a--b'", ("refused_unknown",), None, False),
    PastedLog("a full disk", "OSError: [Errno 28] No space left on device", ("refused_unknown",), None, False),
    PastedLog("the Hub fails with 500", "500 Server Error: Internal Server Error for url: https://huggingface.co/api/models/a/b (Request ID: Root=1-x)", ("hub_unavailable",), "a/b", True),
    PastedLog("requests, too slow", "requests.exceptions.ConnectTimeout: HTTPSConnectionPool(host='huggingface.co', port=443): Max retries exceeded with url: /a/b/resolve/main/config.json (Caused by ConnectTimeoutError)", ("network",), "a/b", True),
    PastedLog("words of the Hub that are new", "403 Forbidden: You must sign in with SSO to access resources of acme.\nCannot access content at: https://huggingface.co/api/models/acme/m.", ("refused_unknown",), "acme/m", False),
    PastedLog("a mirror redirects in a circle", "requests.exceptions.TooManyRedirects: Exceeded 30 redirects. https://hf-mirror.com/a/b/resolve/main/c", ("refused_unknown",), "a/b", False),
    PastedLog("mlx finds no model", "FileNotFoundError: Failed to load model: mlx-community/x-4bit. 404 Client Error: Not Found for url: https://huggingface.co/mlx-community/x-4bit/resolve/main/config.json", ("not_found_or_private",), "mlx-community/x-4bit", False),
    PastedLog("a Space that is refused", "Error: could not fetch https://huggingface.co/api/spaces/acme/demo 401 Unauthorized", ("no_token",), None, False),
    PastedLog("unsloth finds no config", "RuntimeError: Unsloth: No config file found - are you sure the `model_name` is correct? If you're using a model on your local device, confirm if the folder location exists. If you're using a Hugging Face online model, check if it exists.", ("refused_unknown",), None, False),
    PastedLog("transformers finds no tokenizer", "OSError: Can't load tokenizer for 'google/gemma-2b'. If you were trying to load it from 'https://huggingface.co/models', make sure you don't have a local directory with the same name.", ("refused_unknown",), "google/gemma-2b", False),
    PastedLog("a window says HTTP 403", "Error(s) downloading: model 'black-forest-labs/FLUX.1-dev' [HTTP 403]", ("refused_unknown",), "black-forest-labs/FLUX.1-dev", False),
    PastedLog("Node says the status only", "Failed to download: Error: Request failed with status code 401", ("no_token",), None, False),
    PastedLog("axios, 403", "AxiosError: Request failed with status code 403 https://huggingface.co/a/b/resolve/main/x.gguf", ("refused_unknown",), "a/b", False),
    PastedLog("a program asks for the token", "The model acme/x is gated. Please provide your HF_TOKEN", ("no_token",), None, False),
    PastedLog("the page says that access was granted", "You have been granted access to this model", ("refused_unknown",), None, False),
    PastedLog("nothing at all", "", ("refused_unknown",), None, False),
)  # fmt: skip
