"""What a feature pyramid is: a genotype, a list of merging cells. Pure Python."""
from mmnasfpn.genotypes.architecture import architecture_hash
from mmnasfpn.genotypes.genotype import OPS, Genotype, GenotypeError, MergingCell
from mmnasfpn.genotypes.zoo import EARLIER_NAMES, GENOTYPES, SOURCES, get_genotype

__all__ = ['EARLIER_NAMES', 'GENOTYPES', 'OPS', 'SOURCES', 'Genotype', 'GenotypeError', 'MergingCell',
           'architecture_hash', 'get_genotype']
