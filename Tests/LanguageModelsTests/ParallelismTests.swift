import Checkpoints
import Devices
import Foundation
import LanguageModels
import Synchronization
import Tensors
import Testing
import TestModels

/// Two ranks, threads of this process, are one model.
@Suite struct ParallelismTests {
  /// Adds up matrices of ranks that meet: each leaves its own, waits, and takes the sum.
  private final class Exchange: @unchecked Sendable {
    private let condition = NSCondition()
    private let count: Int
    private var left: [[Float]?]
    private var taken = 0
    private(set) var sums = 0

    init(_ count: Int) {
      self.count = count
      left = [[Float]?](repeating: nil, count: count)
    }

    func addUp(_ x: MatrixView, rank: Int) {
      condition.lock()
      defer { condition.unlock() }
      left[rank] = (0..<x.rows).flatMap { row in (0..<x.columns).map { x.row(row)[$0] } }
      condition.broadcast()
      while left.contains(where: { $0 == nil }) { condition.wait() }
      for row in 0..<x.rows {
        for column in 0..<x.columns {
          x.row(row)[column] = left.reduce(0) { $0 + ($1?[row * x.columns + column] ?? .nan) }
        }
      }
      taken += 1
      if taken == count {
        taken = 0
        sums += 1
        left = [[Float]?](repeating: nil, count: count)
        condition.broadcast()
      } else {
        while taken > 0 { condition.wait() }
      }
    }
  }

  private static let prompt: [Int32] = [72, 101, 108, 108, 111, 44, 32, 119]

  /// The logits after a prompt and after two more tokens.
  private static func logits(_ path: String, _ parallelism: TensorParallelism?) throws -> [[Float]]
  {
    let device = try CPUDevice(threads: 1)
    let model = try ModelBundle(path: path, device: device, parallelism: parallelism).model
    var options = ModelRunner.Options()
    options.kvType = .float32
    let runner = try ModelRunner(model, device: device, options: options)
    return [try runner.extend(prompt), try runner.extend([33]), try runner.extend([10])]
  }

  @Test(arguments: ["llama", "qwen2", "gemma3"])
  func twoRanksAreOne(_ architecture: String) throws {
    var model = TinyModel()
    model.architecture = architecture
    if architecture == "gemma3" { model.overrides["attention.sliding_window"] = .uint32(5) }
    // Biases are divided with the outputs, and counted once where inputs are.
    for (name, count) in [
      ("attn_q", 32), ("attn_k", 16), ("attn_v", 16), ("attn_output", 32), ("ffn_gate", 64),
      ("ffn_down", 32),
    ] {
      model.vectors["blk.1.\(name).bias"] = (0..<count).map { Float($0 % 7) / 8 - 0.25 }
    }
    try model.withFile { path in
      let whole = try Self.logits(path, nil)
      let exchange = Exchange(2)
      let results = Mutex<[Int: [[Float]]]>([:])
      let threads = (0..<2).map { rank in
        Thread {
          let part = TensorParallelism(rank: rank, count: 2) { exchange.addUp($0, rank: rank) }
          let found = try? Self.logits(path, part)
          results.withLock { $0[rank] = found ?? [] }
        }
      }
      for thread in threads { thread.start() }
      while results.withLock({ $0.count }) < 2 { Thread.sleep(forTimeInterval: 0.001) }
      let found = results.withLock { $0 }
      // Both ranks have the same bits, and but for the order of sums those of one.
      #expect(found[0] == found[1])
      #expect(found[0]?.count == 3)
      for (a, b) in zip(found[0] ?? [], whole) {
        let size = b.map(abs).max() ?? 0
        #expect(zip(a, b).allSatisfy { abs($0 - $1) <= 1e-5 * size })
      }
      // Two sums a layer and step, and the heads really are divided.
      #expect(exchange.sums == 2 * 2 * 3)
    }
  }

  @Test func whatRanksCannotDivideIsRefused() throws {
    try TinyModel().withFile { path in
      for (rank, count) in [(0, 3), (2, 2), (0, 4)] {
        #expect {
          _ = try ModelBundle(
            path: path, device: CPUDevice(threads: 1),
            parallelism: TensorParallelism(rank: rank, count: count) { _ in })
        } throws: { error in
          guard case .metadata? = error as? ModelError else { return false }
          return true
        }
      }
    }
  }

  @Test func aRankHasItsPart() throws {
    try TinyModel().withFile { path in
      let part = try ModelBundle(
        path: path, device: CPUDevice(threads: 1),
        parallelism: TensorParallelism(rank: 1, count: 2) { _ in }
      ).model.configuration
      #expect(part.headCount == 2 && part.kvHeadCount == 1 && part.feedForwardWidth == 32)
      #expect(part.width == 32 && part.headDimension == 8)
    }
  }
}
