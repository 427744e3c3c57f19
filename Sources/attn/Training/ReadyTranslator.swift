import ArgumentParser
import Foundation
import ModelStore

/// The model that `attn translate` uses where none is named, trained once by `attn train`.
enum ReadyTranslator {
  private static let files = ["bpe.codes", "vocabulary.txt", "model.safetensors"]

  /// The folder of the model, which is trained first where there is none.
  ///
  /// A training that was interrupted goes on; when it is done only the model is kept.
  static func folder() throws -> String {
    let folder = "\(ModelStore().cache)/translators/en-de"
    let disk = FileManager.default
    if disk.fileExists(atPath: "\(folder)/model.safetensors") { return folder }
    let training = "\(folder)/training"
    Terminal.note(
      """
      no --model is named, and none is in \(folder) yet: training one, as
        attn train --task en-de --output \(training)
      does. It is done once, in about 15 minutes on two processors of 2024; interrupted, it goes on.
      """)
    try TrainCommand.parse(["--task", "en-de", "--output", training]).run()
    for file in files {
      if disk.fileExists(atPath: "\(folder)/\(file)") {
        try disk.removeItem(atPath: "\(folder)/\(file)")
      }
      try disk.moveItem(atPath: "\(training)/\(file)", toPath: "\(folder)/\(file)")
    }
    try disk.removeItem(atPath: training)
    return folder
  }
}
