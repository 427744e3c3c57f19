internal import Attention
internal import Checkpoints
import Foundation

extension Trainer {
  private static let firstName = "optimizer.first_moment"
  private static let secondName = "optimizer.second_moment"

  /// Writes weights, moments and the step, whole or not at all.
  ///
  /// - Parameters:
  ///   - path: The file.
  ///   - notes: Texts to keep beside them.
  public func save(to path: String, notes: [String: String] = [:]) throws {
    var writer = try model.writer()
    for (name, moments) in [(Self.firstName, first), (Self.secondName, second)] {
      try writer.add(
        name, shape: [moments.layout.count], bytes: UnsafeRawBufferPointer(moments.elements))
    }
    writer.metadata.merge(notes) { _, new in new }
    writer.metadata["step"] = String(step)
    writer.metadata["options"] = try Self.text(options)
    try writer.write(to: path)
  }

  /// Goes on where a checkpoint was written.
  ///
  /// - Returns: The texts that were kept in it.
  /// - Throws: ``Failure/checkpoint(path:_:)`` where model or options differ in what decides the
  ///   next steps' bits.
  @discardableResult
  public func resume(from path: String) throws -> [String: String] {
    let (saved, metadata, file) = try TransformerModel.load(path: path)
    guard saved.configuration == model.configuration else {
      throw Failure.checkpoint(path: path, "the model has other hyper-parameters")
    }
    guard let done = metadata["step"].flatMap(Int.init), done >= 0, let text = metadata["options"],
      var old = try? JSONDecoder().decode(TrainingOptions.self, from: Data(text.utf8))
    else { throw Failure.checkpoint(path: path, "it holds weights only, no state of a training") }
    // How long training goes on does not change the steps.
    (old.steps, old.averaged) = (options.steps, options.averaged)
    guard old == options else {
      throw Failure.checkpoint(
        path: path, "it was trained with other options: \(text); now \(try Self.text(options))")
    }
    _ = model.weights.elements.update(fromContentsOf: saved.weights.elements)
    for (name, moments) in [(Self.firstName, first), (Self.secondName, second)] {
      guard let tensor = try file.tensor(named: name), tensor.shape == [moments.layout.count] else {
        throw Failure.checkpoint(path: path, "no tensor \(name) of the model's size")
      }
      _ = moments.elements.update(fromContentsOf: tensor.dequantized())
    }
    step = done
    return metadata
  }

  private static func text(_ options: TrainingOptions) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    return String(decoding: try encoder.encode(options), as: UTF8.self)
  }
}

extension Parameters {
  /// The mean of several models' weights (§6.1's checkpoint averaging).
  ///
  /// - Precondition: All are of one layout, and there is at least one.
  public static func mean(of all: [Parameters]) -> Parameters {
    let mean = Parameters(all[0].layout)
    let target = mean.elements
    for i in target.indices {
      target[i] = Float(all.reduce(0) { $0 + Double($1.elements[i]) } / Double(all.count))
    }
    return mean
  }
}

extension Trainer.Failure: CustomStringConvertible {
  /// What is wrong, where, and what was expected.
  public var description: String {
    switch self {
    case .noPairs: "training: no pair is between 1 and the allowed number of tokens long"
    case .attention(let failure): failure.description
    case .batch(let failure): failure.description
    case .notFinite(let step):
      "training: the gradient of step \(step) is not finite; lower the learning rate"
    case .communication(let reason): "training: \(reason)"
    case .checkpoint(let path, let reason): "\(path): cannot go on from here: \(reason)"
    }
  }
}
