"""Search pyramids (sections 3.1 and 4.2).

The search itself, :func:`mmnasfpn.search.run.search`, needs the extra ``search``; what is here does not.
"""
from mmnasfpn.genotypes.architecture import architecture_hash
from mmnasfpn.search.space import Decision, SearchSpace

__all__ = ['Decision', 'SearchSpace', 'architecture_hash']
