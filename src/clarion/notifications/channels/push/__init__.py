"""Push: messages to browsers (Web Push), Android (FCM) and Apple's devices (APNs), encrypted where the protocol has it."""
