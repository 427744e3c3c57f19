/// Some of the equal pieces of a matrix's rows or columns.
struct Share: Sendable, Hashable {
  /// The pieces that are taken.
  let taken: Range<Int>
  /// The number of all pieces.
  let count: Int

  /// The same share, counted in pieces of which each old one has `size`.
  func times(_ size: Int) -> Share {
    Share(taken: taken.lowerBound * size..<taken.upperBound * size, count: count * size)
  }
}

/// What of every layer one rank computes.
struct ModelPart: Sendable, Hashable {
  /// Query heads.
  let queryHeads: Share
  /// Key and value heads: those that the query heads read.
  let kvHeads: Share
  /// The feed-forward layers' inner elements.
  let feedForward: Share
  /// The tokens whose logits it computes.
  let vocabulary: Range<Int>

  /// A rank's part.
  ///
  /// Key and value heads are dealt out with their groups of query heads, the first ranks getting one more
  /// where they do not come out even. More ranks than such heads share each one's query heads, and every
  /// one of them keeps its keys and values, as vLLM has it.
  ///
  /// - Parameters:
  ///   - configuration: The whole model's.
  ///   - rank: The rank's number.
  ///   - ranks: The number of ranks.
  ///   - unit: The inner elements that stay together: a block of a quantised weight's columns.
  init(_ configuration: ModelConfiguration, rank: Int, of ranks: Int, unit: Int = 1)
    throws(ModelError)
  {
    let (kvHeads, group) = (configuration.kvHeadCount, configuration.groupSize)
    guard ranks > 0, (0..<ranks).contains(rank) else {
      throw .ranks("rank \(rank) is not among \(ranks)")
    }
    let units = configuration.feedForwardWidth / unit
    guard ranks <= units else {
      throw .ranks(
        "\(ranks) ranks cannot share \(units) blocks of a feed-forward layer; expected at most as many"
      )
    }
    feedForward = Share(taken: Self.deal(units, rank, ranks), count: units).times(unit)
    vocabulary = Self.vocabulary(configuration.vocabularySize, of: ranks)[rank]
    if ranks <= kvHeads {
      self.kvHeads = Share(taken: Self.deal(kvHeads, rank, ranks), count: kvHeads)
      queryHeads = self.kvHeads.times(group)
      return
    }
    let replicas = ranks / kvHeads
    guard ranks % kvHeads == 0, replicas <= group else {
      throw .ranks(
        "\(ranks) ranks cannot share \(kvHeads) key and value heads with \(group) query heads each; "
          + "expected at most \(kvHeads) ranks, or a multiple of \(kvHeads) up to \(kvHeads * group)"
      )
    }
    let head = rank / replicas
    self.kvHeads = Share(taken: head..<head + 1, count: kvHeads)
    let queries = Self.deal(group, rank % replicas, replicas)
    queryHeads = Share(
      taken: head * group + queries.lowerBound..<head * group + queries.upperBound,
      count: configuration.headCount)
  }

  /// The tokens whose logits each rank computes, in whole panels of sixteen.
  static func vocabulary(_ size: Int, of ranks: Int) -> [Range<Int>] {
    let panel = 16
    return (0..<ranks).map { rank in
      let panels = deal((size + panel - 1) / panel, rank, ranks)
      return min(panels.lowerBound * panel, size)..<min(panels.upperBound * panel, size)
    }
  }

  /// One rank's of `count` things in order, the first ranks getting one more than the last where needed.
  private static func deal(_ count: Int, _ rank: Int, _ ranks: Int) -> Range<Int> {
    let (each, more) = (count / ranks, count % ranks)
    let first = rank * each + min(rank, more)
    return first..<first + each + (rank < more ? 1 : 0)
  }
}

extension ModelConfiguration {
  /// The sizes of one rank's part.
  func part(_ part: ModelPart) -> ModelConfiguration {
    var configuration = self
    configuration.headCount = part.queryHeads.taken.count
    configuration.kvHeadCount = part.kvHeads.taken.count
    configuration.feedForwardWidth = part.feedForward.taken.count
    return configuration
  }
}
