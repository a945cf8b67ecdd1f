"""Modified Kneser-Ney: discounts, the backoff trie, full next-token distributions."""
