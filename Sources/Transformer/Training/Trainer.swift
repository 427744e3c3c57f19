public import Attention
public import Devices

/// Trains a model step by step, and can stop and go on at any of them with the same bits.
///
/// Everything random follows from the seed and the numbers of step and pass, so a checkpoint is the
/// weights, Adam's moments and the step.
public final class Trainer {
  /// The model.
  public let model: TransformerModel
  /// How it is trained.
  public let options: TrainingOptions
  /// Steps done.
  public internal(set) var step = 0

  private let gradient: Gradient
  let first: Parameters
  let second: Parameters
  private let device: CPUDevice
  private let pairs: [EncodedPair]
  private var order: BatchOrder
  private let communicator: (any Communicator)?

  /// What a step did.
  public struct Report: Sendable, Hashable {
    /// Its number, from 1 on.
    public var step: Int
    /// The passes over the pairs that have begun.
    public var epoch: Int
    /// The loss before the step.
    public var loss: Gradient.Loss
    /// Source tokens read.
    public var sourceTokens: Int
    /// The learning rate.
    public var rate: Float
    /// The gradient's norm, before clipping.
    public var gradientNorm: Double
  }

  /// Why training cannot go on.
  public enum Failure: Error {
    /// There are no pairs to train on.
    case noPairs
    /// Attention could not be planned.
    case attention(DifferentiableAttention.Failure)
    /// A pair does not fit the model.
    case batch(SentenceBatch.Invalid)
    /// The gradient is not finite.
    case notFinite(step: Int)
    /// The ranks could not be reached.
    case communication(String)
    /// A checkpoint is of another training.
    case checkpoint(path: String, String)
  }

  /// Training from the first step on.
  ///
  /// - Parameters:
  ///   - model: Its weights are changed.
  ///   - pairs: What it learns from; pairs longer than the options allow are left out.
  ///   - options: How.
  ///   - device: The processor.
  ///   - communicator: Ranks that train the same model, each on other batches.
  public init(
    _ model: TransformerModel, pairs: [EncodedPair], options: TrainingOptions, device: CPUDevice,
    communicator: (any Communicator)? = nil
  ) throws(Failure) {
    let limit = options.maximumLength
    self.pairs = pairs.filter {
      (1...limit).contains($0.source.count) && (1...limit).contains($0.target.count)
    }
    guard !self.pairs.isEmpty else { throw .noPairs }
    self.model = model
    self.options = options
    self.device = device
    self.communicator = communicator
    do {
      gradient = try Gradient(model, precision: options.precision, device: device)
    } catch {
      throw .attention(error)
    }
    first = Parameters(model.weights.layout)
    second = Parameters(model.weights.layout)
    order = BatchOrder(
      lengths: self.pairs.map { $0.target.count + 1 }, tokens: options.batchTokens,
      seed: options.seed, sortsByLength: options.sortsByLength)
  }

  /// The pairs that are trained on.
  public var pairCount: Int { pairs.count }

  /// One step: passes over this rank's batches, sums over the ranks, clipping, Adam.
  public func advance() throws(Failure) -> Report {
    let ranks = communicator?.count ?? 1
    let passes = options.accumulation * ranks
    let batches = (0..<passes).map { order.batch(step * passes + $0) }
    let tokens = batches.joined().reduce(0) { $0 + pairs[$1].target.count + 1 }
    let sourceTokens = batches.joined().reduce(0) { $0 + pairs[$1].source.count + 1 }
    gradient.values.clear()
    var loss = Gradient.Loss()
    for (i, members) in batches.enumerated() where i % ranks == communicator?.rank ?? 0 {
      let dropout = Gradient.Dropout(
        random: CounterRandom(seed: options.seed),
        pass: UInt32(truncatingIfNeeded: step * passes + i))
      loss += try pass(members, scale: 1 / Float(tokens), dropout: dropout)
    }
    if let communicator {
      do {
        try communicator.addUp(gradient.values.elements)
        try communicator.addUp(&loss)
      } catch {
        throw .communication("\(error)")
      }
    }
    let norm = device.sumOfSquares(gradient.values.elements).squareRoot()
    guard norm.isFinite else { throw .notFinite(step: step + 1) }
    step += 1
    let rate = options.learningRate(
      step: step, modelDimension: model.configuration.modelDimension)
    let scale = options.clip.map { norm > Double($0) ? $0 / Float(norm) : 1 } ?? 1
    device.adam(
      model.weights.elements, first: first.elements, second: second.elements,
      gradient: gradient.values.elements,
      CPUDevice.AdamStep(
        beta1: options.beta1, beta2: options.beta2, epsilon: options.epsilon, rate: rate,
        step: step, gradientScale: scale))
    return Report(
      step: step, epoch: order.currentEpoch, loss: loss, sourceTokens: sourceTokens, rate: rate,
      gradientNorm: norm)
  }

  private func pass(
    _ members: [Int], scale: Float, dropout: Gradient.Dropout
  ) throws(Failure) -> Gradient.Loss {
    let batch: SentenceBatch
    do {
      batch = try SentenceBatch(members.map { pairs[$0] }, for: model.configuration)
    } catch {
      throw .batch(error)
    }
    do {
      return try gradient.accumulate(batch, scale: scale, dropout: dropout)
    } catch {
      throw .attention(error)
    }
  }

  /// The loss over held-out pairs, without dropout.
  public func loss(of held: [EncodedPair]) throws(Failure) -> Gradient.Loss {
    var loss = Gradient.Loss()
    let lengths = held.map { $0.target.count + 1 }
    var first = 0
    while first < held.count {
      var (end, tokens) = (first, 0)
      while end < held.count, end == first || tokens + lengths[end] <= options.batchTokens {
        tokens += lengths[end]
        end += 1
      }
      let batch: SentenceBatch
      do {
        batch = try SentenceBatch(Array(held[first..<end]), for: model.configuration)
      } catch {
        throw .batch(error)
      }
      do { loss += try gradient.loss(of: batch) } catch { throw .attention(error) }
      first = end
    }
    return loss
  }
}
