// Language: tokenizers and model folders of language models.
