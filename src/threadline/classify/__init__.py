from threadline.classify.rules import RULES, Source, classify

__all__ = ["RULES", "Source", "classify"]
