import java.io.File;
import java.io.IOException;
import java.math.BigDecimal;
import java.nio.file.Files;
import java.util.List;
import org.openapitools.client.ApiClient;
import org.openapitools.client.ApiException;
import org.openapitools.client.ApiResponse;
import org.openapitools.client.api.OrdersApi;
import org.openapitools.client.model.*;

public class UseOpenapiGenerator {
    public static void main(String[] arguments) throws ApiException, IOException {
        ApiClient client = new ApiClient();
        client.updateBaseUri(arguments[0]);
        OrdersApi orders = new OrdersApi(client);

        Stream first = ok(orders.streamOrdersWithHttpInfo(OrdersApi.APIStreamOrdersRequest.newBuilder().pageSize(3).build()));
        Order last = first.getOrders().get(2);
        Long key = last.getoOrderkey();
        String cursor = first.getPagination().getNextCursor().getActualInstance().toString();
        check(cursor.equals(key.toString()), "the cursor is the last key");
        Stream second = ok(orders.streamOrdersWithHttpInfo(
                OrdersApi.APIStreamOrdersRequest.newBuilder().pageSize(3).cursor(cursor).build()));
        Pages page = ok(orders.listOrderPagesWithHttpInfo(
                OrdersApi.APIListOrderPagesRequest.newBuilder().page(2).pageSize(3).build()));
        check(page.getOrders().equals(second.getOrders()), "the second page is the same in both lists");
        Integer total = ok(orders.countOrdersWithHttpInfo(OrdersApi.APICountOrdersRequest.newBuilder().build()))
                .getTotalOrders();
        check(total.equals(page.getPagination().getTotalCount()), "the count is that of the pages");

        OrdersApi.APIStreamOrdersRequest.Builder wanted = OrdersApi.APIStreamOrdersRequest.newBuilder()
                .oOrderstatus(List.of("F", "P")).oTotalpriceMin("100000.50").sort("-o_totalprice");
        Stream chosen = ok(orders.streamOrdersWithHttpInfo(wanted.build()));
        for (Order order : chosen.getOrders()) {
            check("FP".contains(order.getoOrderstatus()), "orders have the status that is asked for");
            check(new BigDecimal(order.getoTotalprice().getActualInstance().toString()).compareTo(new BigDecimal("100000.50")) >= 0, "orders have the price");
        }
        String place = chosen.getPagination().getNextCursor().getActualInstance().toString();
        ok(orders.streamOrdersWithHttpInfo(wanted.cursor(place).build()));
        Keys several = ok(orders.getOrdersWithHttpInfo(
                OrdersApi.APIGetOrdersRequest.newBuilder().keys(key + ",8").build()));
        check(several.getMissing().get(0).getActualInstance().toString().equals("8"), "the missing key is named");
        check(ok(orders.getOrderWithHttpInfo(OrdersApi.APIGetOrderRequest.newBuilder().orderKey(key).build()))
                .equals(last), "an order is the same alone");

        Status changed = ok(orders.updateOrderStatusWithHttpInfo(OrdersApi.APIUpdateOrderStatusRequest.newBuilder()
                .orderKey(key).statusUpdate(new StatusUpdate().oOrderstatus(StatusUpdate.OOrderstatusEnum.P)).build()));
        check("P".equals(changed.getoOrderstatus()), "the status is changed");
        ok(orders.patchOrderWithHttpInfo(OrdersApi.APIPatchOrderRequest.newBuilder()
                .orderKey(key).statusUpdate(new StatusUpdate().oOrderstatus(StatusUpdate.OOrderstatusEnum.F)).build()));
        BatchItem item = new BatchItem().oOrderkey(key).oOrderstatus(BatchItem.OOrderstatusEnum.P);
        ok(orders.updateOrderStatusesWithHttpInfo(
                OrdersApi.APIUpdateOrderStatusesRequest.newBuilder().batchItem(List.of(item)).build()));
        History history = ok(orders.getOrderHistoryWithHttpInfo(
                OrdersApi.APIGetOrderHistoryRequest.newBuilder().orderKey(key).build()));
        check("P".equals(history.getChanges().get(0).getNewStatus()), "the newest change is the first");
        ok(orders.withdrawOrderStatusWithHttpInfo(
                OrdersApi.APIWithdrawOrderStatusRequest.newBuilder().orderKey(key).build()));

        File csv = ok(orders.exportOrdersWithHttpInfo(
                OrdersApi.APIExportOrdersRequest.newBuilder().fields("o_orderkey").build()));
        check(Files.readAllLines(csv.toPath()).size() == total + 1, "the export has all orders, and a line of names");
        csv.delete();
    }

    private static <T> T ok(ApiResponse<T> answer) {
        check(answer.getStatusCode() == 200, "the status is " + answer.getStatusCode());
        return answer.getData();
    }

    private static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError("Not so: " + what);
        }
    }
}
