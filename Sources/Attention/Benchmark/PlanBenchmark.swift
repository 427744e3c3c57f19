public import Devices
internal import Tensors

/// The host's work of one step before any layer runs: checking the page table, and planning.
public struct PlanBenchmark: Sendable, Hashable {
  /// What the requests have in common.
  public enum Sharing: String, Sendable, CaseIterable, Codable {
    /// Nothing.
    case none
    /// All begin with the same half of the mean length, before parts of their own.
    case prefix
    /// Groups of eight begin with the same half, all with the same quarter.
    case tree
  }

  /// Requests.
  public var batch: Int
  /// What they have in common.
  public var sharing: Sharing
  /// Mean tokens of a request; lengths are uniform up to twice that.
  public var meanLength = 1_024
  /// Tokens of a page.
  public var pageSize = 16
  /// Measurements, the median of which counts.
  public var rounds = 7

  /// A benchmark.
  public init(batch: Int, sharing: Sharing) {
    self.batch = batch
    self.sharing = sharing
  }

  /// What is planned, for a table's first column.
  public var name: String { "plan \(batch) decode, sharing \(sharing.rawValue)" }

  /// The figures of one benchmark.
  public struct Result: Sendable, Codable {
    /// What is planned, for a table's first column.
    public var name: String
    /// Workers that the work is distributed over.
    public var workers: Int
    /// Pages of the batch.
    public var pages: Int
    /// Runs of keys that are read together.
    public var runs: Int
    /// Median seconds of taking and checking the page table and the query lengths.
    public var checkSeconds: Double
    /// Median seconds of only copying the same arrays to 32 bits.
    public var copySeconds: Double
    /// Median seconds of planning the checked batch.
    public var planSeconds: Double
    /// The same without composition.
    public var planSingleSeconds: Double
    /// The longest queue over the least that is possible.
    public var imbalance: Double
  }

  /// Measures on a device, for some workers.
  public func run(on device: CPUDevice, workers: Int) throws(PrefixBenchmark.Failure) -> Result {
    do {
      return try measure(on: device, workers)
    } catch {
      throw PrefixBenchmark.Failure(description: "plan benchmark: \(error)")
    }
  }

  /// Takes the arrays of a batch as the constructors do, but for their checks.
  @inline(never)
  private func taken(_ offsets: [Int], _ indices: [Int], _ last: [Int], _ queries: [Int]) -> Int {
    let pages = [Int32](narrowing: indices)
    let starts = [Int32](narrowing: offsets)
    let lengths = [Int32](unsafeUninitializedCapacity: last.count) { lengths, count in
      offsets.withUnsafeBufferPointer { offsets in
        last.withUnsafeBufferPointer { last in
          for r in 0..<last.count {
            lengths[r] = Int32(
              truncatingIfNeeded: (offsets[r + 1] &- offsets[r] &- 1) &* pageSize &+ last[r])
          }
        }
      }
      count = last.count
    }
    let sums = [Int](unsafeUninitializedCapacity: queries.count + 1) { sums, count in
      var sum = 0
      sums[0] = 0
      queries.withUnsafeBufferPointer { queries in
        for i in 0..<queries.count {
          sum &+= queries[i]
          sums[i + 1] = sum
        }
      }
      count = queries.count + 1
    }
    return pages.count &+ starts.count &+ lengths.count &+ sums.count
  }

  private func measure(on device: CPUDevice, _ workers: Int) throws -> Result {
    var (offsets, indices, last) = ([0], [Int](), [Int]())
    var next = meanLength / pageSize * (1 + batch)
    for r in 0..<batch {
      let half = sharing == .none ? 0 : meanLength / 2
      let length = half + max((2 * r + 1) * (meanLength - half) / batch, 1)
      let count = (length + pageSize - 1) / pageSize
      let shared = half / pageSize
      for place in 0..<count {
        switch sharing {
        case .prefix where place < shared: indices.append(place)
        case .tree where place < shared / 2: indices.append(place)
        case .tree where place < shared: indices.append(shared * (1 + r / 8) + place)
        default:
          indices.append(next)
          next += 1
        }
      }
      offsets.append(indices.count)
      last.append(length - (count - 1) * pageSize)
    }
    let queries = [Int](repeating: 1, count: batch)
    func check() throws -> AttentionBatch {
      try AttentionBatch(
        queries: RaggedIndex(lengths: queries),
        pages: PageTable(
          offsets: offsets, indices: indices, lastPageLengths: last, pageSize: pageSize))
    }
    let batch = try check()
    let plan = try AttentionPlan(
      device: device, shape: AttentionShape(queryHeads: 32, kvHeads: 8, headDimension: 128),
      batch: batch, workers: workers)
    var (checks, copies, plans, singles): ([Double], [Double], [Double], [Double]) = (
      [], [], [], []
    )
    var copied = 0
    for _ in 0..<max(rounds, 1) {
      checks.append(KernelBenchmark.measure { _ = try? check() })
      copies.append(
        KernelBenchmark.measure {
          copied &+= taken(offsets, indices, last, queries)
        })
      singles.append(KernelBenchmark.measure { try? plan.update(batch, composition: .off) })
      plans.append(KernelBenchmark.measure { try? plan.update(batch) })
    }
    return Result(
      name: name, workers: workers, pages: indices.count, runs: plan.readTogether.count,
      checkSeconds: checks.median,
      copySeconds: copied > 0 ? copies.median : 0,
      planSeconds: plans.median,
      planSingleSeconds: singles.median,
      imbalance: Double(plan.schedule.makespan) / Double(max(plan.schedule.lowerBound, 1)))
  }
}
