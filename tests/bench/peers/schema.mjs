// The schema that both servers for Node have, as large as that of strawberry_app.py where subscriptions are concerned.
export const typeDefs = `
  enum OrderStatus { PENDING CONFIRMED READY_TO_SHIP SHIPPED CANCELLED }
  enum PaymentStatus { PENDING AUTHORIZED PAID }
  enum OrderEventType { ORDER_PLACED ORDER_CONFIRMED NOTE_ADDED }
  type Money { amount: String! currencyCode: String! }
  type Order { id: ID! number: String! status: OrderStatus! paymentStatus: PaymentStatus! total: Money! }
  type OrderEvent {
    id: ID! cursor: String! type: OrderEventType! occurredAt: String! message: String! order: Order!
  }
  input OrderEventFilter { orderIds: [ID!] }
  type Query { running: Boolean! }
  type Subscription { orderEvents(filter: OrderEventFilter): OrderEvent! }
`;

export const ALL_ORDERS = "orders";

export const topicOf = ({ filter }) => (filter ? filter.orderIds[0] : ALL_ORDERS);
