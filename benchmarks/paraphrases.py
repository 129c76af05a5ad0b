"""Questions written for the benchmarks: eight things to ask of a person, in five paraphrases each.

Of the length of WebQuestions' questions, without being any of them. Whether there is a right
answer does not matter here: the answers are never looked at.
"""

NUM_PARAPHRASES = 5

RELATIONS: tuple[tuple[str, ...], ...] = (
    (
        "where was {} born?",
        "what is the birthplace of {}?",
        "in which town was {} born?",
        "{} was born in what place?",
        "which place did {} come from?",
    ),
    (
        "what is {} best known for?",
        "why did {} become famous?",
        "what was it that made {} famous?",
        "{} is remembered for what?",
        "what is the main work of {}?",
    ),
    (
        "when did {} die?",
        "what year did {} die in?",
        "in which year did {} pass away?",
        "what was the year of the death of {}?",
        "{} died in what year?",
    ),
    (
        "who was {} married to?",
        "what was the name of the spouse of {}?",
        "who did {} marry?",
        "{} was the husband or wife of whom?",
        "which person was married to {}?",
    ),
    (
        "where did {} go to school?",
        "what school did {} attend?",
        "which university did {} study at?",
        "{} was educated at which school?",
        "what was the school of {} called?",
    ),
    (
        "what country was {} from?",
        "what was the nationality of {}?",
        "which country did {} live in?",
        "{} was a citizen of what country?",
        "of what country was {} a citizen?",
    ),
    (
        "what did {} do for a living?",
        "what was the profession of {}?",
        "what kind of work did {} do?",
        "{} worked as what?",
        "what job did {} have?",
    ),
    (
        "what language did {} speak?",
        "which language did {} grow up with?",
        "what was the mother tongue of {}?",
        "{} spoke what language?",
        "in what language did {} write?",
    ),
)

NAMES: tuple[str, ...] = (
    "ada lovelace", "alan turing", "albert einstein", "amelia earhart", "anne frank",
    "antonio vivaldi", "beatrix potter", "benjamin franklin", "charles darwin",
    "charles dickens", "charlotte bronte", "christopher columbus", "claude monet",
    "clara schumann", "emily dickinson", "emmy noether", "florence nightingale",
    "franz kafka", "franz schubert", "frida kahlo", "galileo galilei", "george washington",
    "gottfried leibniz", "grace hopper", "hannah arendt", "harriet tubman", "henri matisse",
    "henry ford", "isaac newton", "jane austen", "johannes kepler", "john keats",
    "joseph haydn", "karl marx", "leonhard euler", "leo tolstoy", "lise meitner",
    "louis pasteur", "mahatma gandhi", "marco polo", "maria montessori", "marie curie",
    "mark twain", "martin luther", "mary shelley", "max planck", "michael faraday",
    "napoleon bonaparte", "nelson mandela", "niels bohr", "nikola tesla", "oscar wilde",
    "pablo picasso", "rachel carson", "robert schumann", "rosa parks", "simone de beauvoir",
    "sophie germain", "srinivasa ramanujan", "thomas edison", "vincent van gogh",
    "virginia woolf", "walt whitman", "winston churchill",
)  # fmt: skip
