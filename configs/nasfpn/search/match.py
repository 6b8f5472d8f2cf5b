# A search without training, to see the search itself work: the reward is the share of a hidden
# genotype's fields that were found.
search_space = dict(min_level=3, max_level=7, num_intermediate=2)
reward = dict(type='GenotypeMatch', target='nasfpn')
num_trials = 3000
