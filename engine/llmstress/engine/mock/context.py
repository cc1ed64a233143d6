"""The context of the model: the number of tokens that prompt and answer may have together."""

import msgspec

from llmstress.engine.mock.dialects.answer_spec import RequestParams
from llmstress.engine.mock.dialects.dialect import Overflow


def fit(params: RequestParams, context: int) -> RequestParams | Overflow:
    """`params` with a limit of output tokens that fits into a context of `context` tokens, or why none does.

    A limit that the client has set is not lowered: the request is rejected, as by OpenAI and vLLM. Without one, the
    rest of the context is the limit, and it has to be at least one token. Of several prompts, the longest counts.
    """
    prompt = params.longest_prompt or params.prompt_tokens
    least = 1 if params.limit is None else params.limit
    if prompt + least > context:
        return Overflow(prompt, params.limit, context)
    if params.limit is None:
        return msgspec.structs.replace(params, limit=context - prompt)
    return params
