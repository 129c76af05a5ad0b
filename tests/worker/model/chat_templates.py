"""Small chat templates that behave as those of known model families, written for the tests."""

LLAMA = (
    "{{- bos_token }}"
    "{%- if not date_string is defined %}"
    "{%- if strftime_now is defined %}"
    '{%- set date_string = strftime_now("%d %b %Y") %}'
    "{%- else %}{%- set date_string = '26 Jul 2024' %}{%- endif %}"
    "{%- endif %}"
    "{%- if messages[0]['role'] == 'system' %}"
    "{%- set system = messages[0]['content'] | trim %}{%- set messages = messages[1:] %}"
    "{%- else %}{%- set system = '' %}{%- endif %}"
    "{{- '<|start|>system<|end|>\n\nToday Date: ' + date_string + '\n\n' + system + '<|eot|>' }}"
    "{%- for message in messages %}"
    "{{- '<|start|>' + message['role'] + '<|end|>\n\n' + message['content'] | trim + '<|eot|>' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|start|>assistant<|end|>\n\n' }}{%- endif %}"
)
"""Llama 3.2: begins with a BOS, tells a date, trims what it writes."""

CLOCKED = (
    "\n  {# today's date by strftime_now #}{{ bos_token }}\n"
    "{%- set today = strftime_now( '%Y-%m-%d' ) %}"
    '{{ "It is " + today + ", a " + strftime_now("%A") + ".\n" }}'
    "{% for message in messages %}\n{{ message.role }}: {{ message.content }}\n{% endfor %}"
)
"""Reads the clock twice, whatever date is given; begins with blank space."""

GEMMA = (
    "{{ bos_token }}"
    "{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user') }}{% endif %}"
    "{% if (message['role'] == 'assistant') %}{% set role = 'model' %}"
    "{% else %}{% set role = message['role'] %}{% endif %}"
    "{{ '<|start|>' + role + '\n' + message['content'] | trim + '<|end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>model\n' }}{% endif %}"
)
"""Gemma 2: no system role, turns alternate."""

QWEN = (
    "{%- for message in messages %}"
    "{{- '<|start|>' + message.role + '\n' + message.content + '<|end|>\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}"
    "{{- '<|start|>assistant\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}"
    "{{- '<think>\n\n</think>\n\n' }}{%- endif %}"
    "{%- endif %}"
)
"""Qwen3: `enable_thinking`; without thinking it writes reasoning that is over already."""

R1 = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] }}"
    "{% elif message['role'] == 'user' %}{{ '<|user|>' + message['content'] }}"
    "{% else %}{{ '<|model|>' + message['content'].split('</think>')[-1] + '<|end|>' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|model|><think>\n' }}{% endif %}"
)
"""DeepSeek-R1: the model's turn begins inside the reasoning, and nothing switches that."""

MISTRAL = (
    "{%- if messages[0]['role'] == 'system' %}"
    "{%- set system = messages[0]['content'] %}{%- set turns = messages[1:] %}"
    "{%- else %}{%- set turns = messages %}{%- endif %}"
    "{{- bos_token }}"
    "{%- for message in turns %}"
    "{%- if message['role'] == 'user' %}"
    "{%- if loop.last and system is defined %}"
    "{{- '[INST] ' + system + '\n\n' + message['content'] + '[/INST]' }}"
    "{%- else %}{{- '[INST] ' + message['content'] + '[/INST]' }}{%- endif %}"
    "{%- else %}{{- ' ' + message['content'] + eos_token }}{%- endif %}"
    "{%- endfor %}"
)
"""Mistral 7B 0.3: the system text stands in the last user turn; no generation prompt."""

DEAF = (
    "{% for message in messages %}{{ message['role'] + ': ' }}"
    "{% if message['role'] != 'system' %}{{ message['content'] + '\n' }}{% endif %}{% endfor %}"
)
"""Accepts a system message and writes nothing of it."""

PARTS = (
    "{% for message in messages %}{{ message['role'] + ': ' }}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}\n{% endfor %}"
)
"""Reads contents as lists of texts and images, as vision models' do; writes nothing of a text."""

SPELLED = ("<|start|>", "<|end|>", "<|eot|>", "<|user|>", "<|model|>", "<think>", "</think>",
           "[INST]", "[/INST]")  # fmt: skip
"""What the templates write that a tokenizer has as one token each."""

ALL = {
    "llama": LLAMA,
    "clocked": CLOCKED,
    "gemma": GEMMA,
    "qwen": QWEN,
    "r1": R1,
    "mistral": MISTRAL,
}
