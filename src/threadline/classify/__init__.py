from threadline.classify.explain import Classification, explain
from threadline.classify.rules import RULES, Source, classify

__all__ = ["RULES", "Classification", "Source", "classify", "explain"]
