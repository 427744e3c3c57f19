import Devices
import Glibc
import Inference
import LanguageModels
import StubCUDA
import Tensors
import TestModels
import Tokenizers

/// Several requests through the engine, on the device and on the processor, everything in 32-bit floats:
/// the tokens are the same, whatever is shared, guessed, captured, or asked for ahead.
struct EngineCase {
  let name: String
  /// Whether guesses branch and shared pages are read once.
  var composes = false
  /// Whether only the last tokens are seen, and turned where they are read.
  var window: Int?
  /// Whether tokens are guessed.
  var guesses = false
  /// Whether the device is the only member of a group.
  var hasGroup = false
  /// Pages of the pool, too few for all; by default what four sequences can use.
  var pages: Int?
  let requests: [Request]

  /// What is asked for.
  enum Request {
    /// The likeliest tokens, and in a pair any tokens.
    case greedy, pair
    /// It ends somewhere; not before the sixth token.
    case stopped, late
    /// Probabilities, or penalties: drawn on the processor.
    case reported, penalised
    /// Drawn from some tokens alone: other tokens than the processor's, but the same in any company.
    case filtered
    /// Its caller leaves after some tokens.
    case left

    var isOnDevice: Bool {
      switch self {
      case .late, .reported, .penalised: false
      default: true
      }
    }
  }

  static let all = [
    EngineCase(name: "engine-lookup", guesses: true, requests: [.greedy, .pair, .greedy]),
    EngineCase(
      name: "engine-branching", composes: true, guesses: true, requests: [.greedy, .pair, .late]),
    EngineCase(name: "engine-window", window: 24, requests: [.greedy, .pair, .greedy]),
    EngineCase(
      name: "engine-ahead", pages: 6, requests: [.greedy, .pair, .stopped, .left, .filtered]),
    EngineCase(
      name: "engine-mixed", hasGroup: true, pages: 6,
      requests: [.greedy, .reported, .late, .pair, .penalised, .filtered]),
  ]

  /// Something that should not be.
  private struct Failure: Error, CustomStringConvertible {
    let description: String
  }

  private func request(_ number: Int) -> InferenceRequest {
    // A common beginning of more than a page, and tokens that occur again.
    let prompt = (0..<20).map { TokenID($0 * 7 % 11 + 65) } + [TokenID(97 + number), 66, 73]
    var request = InferenceRequest(prompt: prompt)
    request.maxTokens = 14
    request.ignoresEndOfGeneration = true
    request.sampling.seed = UInt64(number) << 33 | 5
    switch requests[number] {
    case .greedy, .left: break
    case .pair:
      request.n = 2
      request.sampling.temperature = 0.9
    case .stopped, .late:
      request.stopTokens = Set((0..<256).filter { $0 % 4 == 1 })
      if case .late = requests[number] { request.minTokens = 5 }
    case .reported: request.logprobs = 2
    case .penalised: request.sampling.presencePenalty = 1
    case .filtered:
      request.sampling.temperature = 1
      (request.sampling.topK, request.sampling.topP) = (20, 0.9)
    }
    return request
  }

  /// The tokens of some requests' sequences: of each request's number and sequence.
  private func tokens(_ bundle: ModelBundle, _ device: CheckDevice, _ numbers: [Int]) throws
    -> [Int: [TokenID]]
  {
    var options = EngineOptions()
    options.kvType = .float32
    options.context = 96
    options.tokenBudget = 24
    options.maxRunning = 4
    options.composes = composes
    options.window = window
    options.pageCount = pages
    if guesses { options.speculation = .promptLookup(tokens: 3) }
    if bundle.model.gpu == nil { options.pageCount = 64 }
    let engine = try InferenceEngine(bundle, device: device.host, options: options)
    // All that four sequences can use fits into the device's memory.
    guard engine.statistics().pages == options.pageCount ?? 4 * 6 else {
      throw Failure(description: "\(engine.statistics().pages) pages")
    }
    let answers = try EngineAnswers(
      of: engine,
      numbers.map { number in
        if case .left = requests[number] { return (number, request(number), 4) }
        return (number, request(number), nil)
      })
    answers.stop(engine)
    if let failure = answers.failures.first { throw Failure(description: failure) }
    try check(engine.statistics(), isOnDevice: bundle.model.gpu != nil, isAlone: numbers.count == 1)
    return answers.tokens
  }

  /// Whether steps were asked for ahead, and sequences preempted, as should be.
  private func check(_ statistics: EngineStatistics, isOnDevice: Bool, isAlone: Bool) throws {
    let (steps, ahead) = (statistics.steps, statistics.stepsAhead)
    let isRight =
      if !isOnDevice || guesses {
        ahead == 0
      } else if requests.allSatisfy(\.isOnDevice) {
        // The first one, and those before which all ended.
        ahead >= steps - 4
      } else {
        ahead > 0 && ahead < steps
      }
    guard isRight, statistics.usedPages == 0,
      !isOnDevice || pages == nil || isAlone || statistics.preemptions > 0
    else {
      throw Failure(
        description: "\(ahead) of \(steps) steps ahead, \(statistics.preemptions) preemptions, "
          + "\(statistics.usedPages) pages not given back")
    }
  }

  /// The share of tokens that differ.
  func check(_ device: CheckDevice) throws -> Double {
    let before = stub_cuda_alive()
    // The engine's thread gives everything back when it has ended.
    defer {
      for _ in 0..<1000
      where device.stub != nil && stub_cuda_alive() > before + device.moduleCount {
        usleep(1000)
      }
    }
    let all = Array(requests.indices)
    var (expected, found) = try TinyModel().withFile { path in
      let group = try hasGroup ? NCCL.group([device.context], library: device.stub) : []
      let gpu = try device.models(group.first)
      let processor = try ModelBundle(path: path, device: device.host)
      let bundle = try ModelBundle(path: path, device: device.host, gpu: gpu)
      var expected = try tokens(processor, device, all)
      let start = copiedBack.count
      let found = try tokens(bundle, device, all)
      // Tokens come back, and logits only where somebody wants to see them.
      let isSmall = copiedBack[start...].allSatisfy { $0 <= 4 * 24 }
      guard device.stub == nil || isSmall == requests.allSatisfy(\.isOnDevice) else {
        throw Failure(description: "\(copiedBack[start...]) bytes copied back")
      }
      for (number, request) in requests.enumerated() {
        guard case .filtered = request else { continue }
        expected[2 * number] = try tokens(bundle, device, [number])[2 * number]
      }
      return (expected, found)
    }
    for (number, request) in requests.enumerated() {
      // Nobody knows when its caller's leaving was noticed.
      guard case .left = request else { continue }
      expected[2 * number] = expected[2 * number].map { Array($0.prefix(4)) }
      found[2 * number] = found[2 * number].map { Array($0.prefix(4)) }
    }
    try device.synchronize()
    let different = expected.reduce(0) { sum, entry in
      let (a, b) = (entry.value, found[entry.key] ?? [])
      return sum + abs(a.count - b.count) + zip(a, b).count { $0 != $1 }
    }
    let total = expected.values.reduce(0) { $0 + $1.count }
    guard total > 14 * 2, expected.count == found.count else { return 1 }
    return Double(different) / Double(total)
  }

  /// The bytes of each copy from the stub to the processor.
  private var copiedBack: [Int] {
    String(cString: stub_cuda_log()).split(separator: "\n").compactMap { line in
      guard line.hasPrefix("cuMemcpyDtoHAsync ") else { return nil }
      return line.split(separator: " ").last.flatMap { Int($0) }
    }
  }
}
