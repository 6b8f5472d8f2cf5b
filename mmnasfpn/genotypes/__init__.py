"""What a feature pyramid is: a genotype, a list of merging cells. Pure Python."""
from mmnasfpn.genotypes.genotype import OPS, Genotype, GenotypeError, MergingCell
from mmnasfpn.genotypes.zoo import GENOTYPES, get_genotype

__all__ = ['GENOTYPES', 'OPS', 'Genotype', 'GenotypeError', 'MergingCell', 'get_genotype']
