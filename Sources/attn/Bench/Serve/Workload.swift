import ArgumentParser
import Foundation
import Tensors
import Tokenizers

/// Where the requests of a load come from.
enum Workload: String, CaseIterable, ExpressibleByArgument {
  /// All of one length.
  case synthetic
  /// Lengths distributed as in conversations of people with ChatGPT.
  case sharegpt
  /// A long common prefix and a short end of its own.
  case sharedPrefix = "shared-prefix"
  /// Lengths and arrivals from a file.
  case trace
}

/// Makes the requests of a workload, the same ones for a seed.
struct WorkloadGenerator {
  var workload: Workload
  /// Words of a synthetic prompt, and of what follows a shared prefix.
  var promptLength: Int
  var outputLength: Int
  var prefixLength: Int
  /// Prompt and output together are kept below it.
  var context: Int
  private var random: SplitMix

  init(
    _ workload: Workload, promptLength: Int, outputLength: Int, prefixLength: Int, context: Int,
    seed: UInt64
  ) {
    self.workload = workload
    self.promptLength = promptLength
    self.outputLength = outputLength
    self.prefixLength = prefixLength
    self.context = context
    random = SplitMix(state: seed)
  }

  mutating func requests(_ count: Int) -> [LoadRequest] {
    let prefix = words(prefixLength)
    return (0..<count).map { _ in
      switch workload {
      case .synthetic, .trace: request(promptLength, outputLength)
      case .sharegpt: conversation()
      case .sharedPrefix:
        LoadRequest(
          prompt: prefix + " " + words(promptLength), outputTokens: outputLength, arrival: nil)
      }
    }
  }

  /// The requests of a trace: lines of JSON with `prompt_tokens`, `output_tokens` and, in seconds,
  /// `timestamp`.
  mutating func trace(_ text: String, count: Int) throws -> [LoadRequest] {
    var result: [LoadRequest] = []
    for (i, line) in text.split(separator: "\n").prefix(count).enumerated() {
      let json = try JSON(parsing: String(line))
      guard let prompt = json["prompt_tokens"]?.real, let output = json["output_tokens"]?.real,
        prompt >= 1, output >= 1, prompt + output <= 1e6
      else {
        throw CommandFailure(
          .data, "trace, line \(i + 1): 'prompt_tokens' and 'output_tokens', at least 1 each")
      }
      var next = request(Int(prompt), Int(output))
      next.arrival = json["timestamp"]?.real
      result.append(next)
    }
    let first = result.compactMap(\.arrival).min() ?? 0
    for i in result.indices { result[i].arrival = result[i].arrival.map { $0 - first } }
    return result
  }

  private mutating func request(_ prompt: Int, _ output: Int) -> LoadRequest {
    LoadRequest(prompt: words(prompt), outputTokens: output, arrival: nil)
  }

  /// The first turns of ShareGPT: prompts of 292 tokens in the mean, 32 in the median and 692 at the
  /// 90th percentile; answers of 275, 240 and 560.
  ///
  /// Prompts are log-normal by median and percentile, cut at 4096 (then their mean is 289); answers
  /// are Weibull (shape 1.417, scale 311), cut at 1024 (mean 282).
  private mutating func conversation() -> LoadRequest {
    let deviation = (log(692.0) - log(32)) / 1.281_551_6
    let prompt = min(32 * exp(deviation * normal()), 4_096)
    let output = min(310.85 * pow(-log(1 - unit()), 1 / 1.416_91), 1_024)
    let outputTokens = max(1, min(Int(output.rounded()), context / 2))
    return request(
      max(1, min(Int(prompt.rounded()), context - outputTokens - 16)), outputTokens)
  }

  /// Seconds between arrivals of a Poisson process.
  mutating func interval(rate: Double) -> Double { -log(1 - unit()) / rate }

  /// A number from 0 to below 1.
  private mutating func unit() -> Double { Double(random.next() >> 11) * 0x1p-53 }

  /// A number of the normal distribution (Box and Muller).
  private mutating func normal() -> Double {
    (-2 * log(1 - unit())).squareRoot() * cos(2 * .pi * unit())
  }

  /// Common words, most of which are one token in any vocabulary; no two prompts begin alike.
  private mutating func words(_ count: Int) -> String {
    var result: [String] = []
    result.reserveCapacity(count)
    for _ in 0..<count {
      result.append(Self.vocabulary[Int(random.next() % UInt64(Self.vocabulary.count))])
    }
    return result.joined(separator: " ")
  }

  private static let vocabulary = """
    the of and to in is you that it he was for on are as with his they at be this have from or one \
    had by word but not what all were we when your can said there use an each which she do how their \
    if will up other about out many then them these so some her would make like him into time has \
    look two more write go see number no way could people my than first water been call who oil its \
    now find long down day did get come made may part over new sound take only little work know \
    place year live me back give most very after thing our just name good sentence man think say \
    great where help through much before line right too mean old any same tell boy follow came want \
    show also around form three small set put end does another well large must big even such because \
    turn here why ask went men read need land different home us move try kind hand picture again \
    change off play spell air away animal house point page letter mother answer found study still \
    learn should world high every near add food between own below country plant last school father \
    keep tree never start city earth eye light thought head under story saw left don few while along
    """.split(separator: " ").map(String.init)
}

extension JSON {
  /// The value of a number.
  var real: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }
}
