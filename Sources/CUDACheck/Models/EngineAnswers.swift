import Dispatch
import Inference
import Synchronization
import Tokenizers

/// What comes of requests to an engine, waited for.
final class EngineAnswers: Sendable {
  private let found = Mutex<[Int: [TokenID]]>([:])
  private let texts = Mutex<[String]>([])
  private let left = DispatchGroup()

  /// The tokens of each sequence: of a request's number, times two, and the sequence's.
  var tokens: [Int: [TokenID]] { found.withLock { $0 } }
  /// Why sequences failed, and what is inconsistent in the engine.
  var failures: [String] { texts.withLock { $0 } }

  /// Submits requests and waits until all have ended.
  ///
  /// - Parameter requests: Each with its number, and with the tokens after which its caller leaves.
  init(
    of engine: InferenceEngine, _ requests: [(number: Int, request: InferenceRequest, most: Int?)]
  ) throws {
    for (number, request, most) in requests {
      let stream = try engine.submit(request)
      wait {
        for await event in stream {
          let count = self.found.withLock {
            $0[2 * number + event.sequence, default: []] += event.tokens.map(\.id)
            return $0[2 * number + event.sequence]?.count ?? 0
          }
          if case .failed(let text)? = event.finish { self.texts.withLock { $0.append(text) } }
          if count >= most ?? .max { break }
        }
      }
    }
    left.wait()
    wait {
      do { try await engine.checkIntegrity() } catch {
        self.texts.withLock { $0.append("\(error)") }
      }
    }
    left.wait()
  }

  /// Stops an engine and waits for its end.
  func stop(_ engine: InferenceEngine) {
    wait { await engine.stop(deadline: .zero) }
    left.wait()
  }

  private func wait(for body: @escaping @Sendable () async -> Void) {
    left.enter()
    Task {
      await body()
      self.left.leave()
    }
  }
}
