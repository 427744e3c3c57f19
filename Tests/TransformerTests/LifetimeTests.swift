import Devices
import Testing
import Transformer

@Suite struct LifetimeTests {
  /// A dropped trainer and translator give model and device back.
  @Test func nothingIsLeft() throws {
    weak var device: CPUDevice?
    weak var model: TransformerModel?
    func use() throws {
      let trainer = try TrainerTests.trainer(TrainerTests.options)
      for _ in 0..<2 { _ = try trainer.advance() }
      let own = try CPUDevice(threads: 2)
      (device, model) = (own, trainer.model)
      _ = try Translator(trainer.model, device: own).translate([[3, 4, 5]])
    }
    try use()
    #expect(device == nil && model == nil)
  }
}
